"""The rows in docs/online-format.md are the rows that we write and read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops.plan import PlannedField
from mlops.stores.redis import nested
from mlops.stores.redis.decoding import ViewDecoder
from mlops.stores.redis.encoding import pack_rows, values_cells
from mlops.stores.redis.schema import parse_schema

DOCUMENT = Path(__file__).parents[4] / "docs" / "online-format.md"
LINE = re.compile(r"^(\[\[.*\]\]) \| (\[.*\]) \| ([0-9a-f]+)$", re.MULTILINE)
EXAMPLES = LINE.findall(DOCUMENT.read_text())
EVENT = 1_533_686_400_000_000


def stored(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kinds = {int: nested.INT64, type(None): nested.UNSET}
    return nested.MAP, [(name, (kinds[type(item)], item)) for name, item in value.items()]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize(("schema", "values", "row"), EXAMPLES)
def test_an_example_is_written_and_read_as_it_says(schema: str, values: str, row: str) -> None:
    parsed = parse_schema(schema.encode())
    given = [stored(value) for value in json.loads(values)]
    cells = [values_cells(c, [v]) for c, v in zip(parsed.columns, given, strict=True)]
    (packed,) = pack_rows(parsed, cells, np.array([EVENT]), np.array([EVENT + 1]))
    assert packed.hex() == row
    wanted = tuple(PlannedField(name=c.name, dtype=c.dtype) for c in parsed.columns)
    found = ViewDecoder(wanted, {parsed.tag: parsed}).decode([bytes.fromhex(row)], 0)
    assert [column[0] for column in found.values] == given
