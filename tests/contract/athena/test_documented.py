"""Athena's own statements, page by page, each with the result that is documented for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.documented import Documented, read_page

if TYPE_CHECKING:
    from tests.contract.athena.conftest import Shop

PAGES = sorted((Path(__file__).parent / "documented").glob("*.sql"))


def answered(shop: Shop, id_: str) -> tuple[list[str], list[str]]:
    """Names of the columns, and the rows as lines, without the blanks of Hive's layout."""
    answer = shop.client("athena").get_query_results(QueryExecutionId=id_)
    names = [c["Name"] for c in answer["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]]
    rows = [[c.get("VarCharValue", "NULL") for c in r["Data"]] for r in answer["ResultSet"]["Rows"]]
    if rows and rows[0] == names:
        rows = rows[1:]
    return names, [plain(" | ".join(row)) for row in rows]


def plain(line: str) -> str:
    parts = [re.sub(r" +", " ", part).strip() for part in re.split(r"\t| \| ", line)]
    return " | ".join(parts).strip(" |,")


def complaint(shop: Shop, documented: Documented) -> str:
    """What a statement does otherwise than documented; '' for nothing."""
    execution = shop.run(documented.sql)
    status = execution["Status"]
    reason = str(status.get("StateChangeReason", ""))
    if documented.error:
        return "" if reason.startswith(documented.error) else f"not refused so: {reason}"
    if status["State"] != "SUCCEEDED":
        return reason
    if documented.silent:
        return ""
    names, lines = answered(shop, execution["QueryExecutionId"])
    wanted = [plain(line) for line in documented.table[1:]]
    ordered = "ORDER BY" in documented.sql or not documented.sql.startswith("SELECT")
    same = lines == wanted if ordered else sorted(lines) == sorted(wanted)
    return "" if same and names == documented.names else f"{names} {lines}"


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_statement_of_a_page_does_what_is_documented(
    shop: Shop, page: Path, tmp_path: Path
) -> None:
    filled = tmp_path / page.name
    places = {"${db}": shop.database, "${bucket}": shop.bucket}
    filled.write_text(re.sub(r"\$\{\w+\}", lambda found: places[found[0]], page.read_text()))
    wrong = {one.sql: found for one in read_page(filled) if (found := complaint(shop, one))}
    assert wrong == {}
