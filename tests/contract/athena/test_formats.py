"""Tables that are not Parquet: text, CSV, JSON and ORC, read and written as Athena documents."""

# ruff: noqa: E501, DTZ001 - lines of files and statements are rows of tables; Hive's times have no zone

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import orc

if TYPE_CHECKING:
    from tests.contract.athena.conftest import Shop

NewName = Callable[[], str]
OPEN_CSV = "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'"
OPENX = "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"
COMMAS = "ROW FORMAT DELIMITED FIELDS TERMINATED BY ','"


@dataclass
class Tables:
    """Makes tables over files that a test writes."""

    shop: Shop
    new_name: NewName

    def over(self, body: str | bytes, columns: str, clauses: str, **more: str) -> str:
        """A table over one file. more: its properties, with '_' for '.'."""
        name, location = self.new_name(), self.shop.folder()
        self.put(f"{location}x.txt", body)
        properties = ", ".join(f"'{k.replace('_', '.')}'='{v}'" for k, v in more.items())
        tail = f" TBLPROPERTIES ({properties})" if properties else ""
        self.shop.made(
            f"CREATE EXTERNAL TABLE {name} ({columns}) {clauses} LOCATION '{location}'{tail}"
        )
        return name

    def put(self, uri: str, body: str | bytes) -> None:
        key = uri.removeprefix(f"s3://{self.shop.bucket}/")
        data = body.encode() if isinstance(body, str) else body
        self.shop.client("s3").put_object(Bucket=self.shop.bucket, Key=key, Body=data)

    def reason(self, sql: str) -> str:
        return str(self.shop.run(sql)["Status"].get("StateChangeReason", ""))


@pytest.fixture
def tables(shop: Shop, table_name: NewName) -> Tables:
    return Tables(shop, table_name)


VALUES = """1,true,2.5,9.99,2020-02-29,2020-01-05 10:00:00.123456,abc
-7.9,FALSE,1e3,12.345,2020-2-9,2020-01-05,
x,yes,1.5x,abc,nope,nope,\\N
99999999999,,,,,
"""
PARSED = [
    (1, True, 2.5, Decimal("9.99"), date(2020, 2, 29), datetime(2020, 1, 5, 10, 0, 0, 123000), "abc"),
    (-7, False, 1000.0, Decimal("12.35"), None, None, ""),
    (None,) * 7,
    (None,) * 7,
]  # fmt: skip


def test_lazysimple_makes_null_of_what_does_not_parse(shop: Shop, tables: Tables) -> None:
    columns = "i int, b boolean, d double, m decimal(6,2), day date, at timestamp, s string"
    name = tables.over(VALUES, columns, COMMAS)
    assert shop.rows(f"SELECT * FROM {name}") == PARSED


def test_lazysimple_takes_quotes_as_text_and_pads_short_lines(shop: Shop, tables: Tables) -> None:
    name = tables.over('"a,b"\nc\n\nd,e,f\n', "x string, y string", COMMAS)
    assert shop.rows(f"SELECT x, y FROM {name}") == [
        ('"a', 'b"'),
        ("c", None),
        ("", None),
        ("d", "e"),
    ]


def test_delimiters_nulls_and_headers_are_what_the_table_says(shop: Shop, tables: Tables) -> None:
    body = "id|tags|counts|at\r\n1|a;b|x:1;y:2|p;5\r\n-|-|-|-\r\n"
    columns = "id int, tags array<string>, counts map<string,int>, at struct<n:string,v:int>"
    clauses = (
        "ROW FORMAT DELIMITED FIELDS TERMINATED BY '|' COLLECTION ITEMS TERMINATED BY ';' "
        "MAP KEYS TERMINATED BY ':' NULL DEFINED AS '-' STORED AS TEXTFILE"
    )
    name = tables.over(body, columns, clauses, skip_header_line_count="1")
    sql = f"SELECT id, tags[2], counts['y'], at.v FROM {name} WHERE id IS NOT NULL"
    assert shop.rows(sql) == [(1, "b", 2, 5)]
    assert shop.rows(f"SELECT count(*), count(tags), count(counts), count(at) FROM {name}") == [
        (2, 1, 1, 1)
    ]


def test_escaped_by_and_the_default_delimiter(shop: Shop, tables: Tables) -> None:
    escaped = tables.over(
        "a\\,b,c\n", "x string, y string", f"{COMMAS} ESCAPED BY '\\\\' LINES TERMINATED BY '\\n'"
    )
    assert shop.rows(f"SELECT x, y FROM {escaped}") == [("a,b", "c")]
    plain = tables.over("a\x01\\N\nb\x01c\n", "x string, y string", "STORED AS TEXTFILE")
    assert shop.rows(f"SELECT x, y FROM {plain}") == [("a", None), ("b", "c")]


def test_opencsv_reads_quoted_texts(shop: Shop, tables: Tables) -> None:
    body = '"a1","a,2","say ""hi""",""\n1,2,abc\n'
    name = tables.over(body, "c1 string, c2 string, c3 string, c4 string", OPEN_CSV)
    assert shop.rows(f"SELECT * FROM {name}") == [
        ("a1", "a,2", 'say "hi"', ""),
        ("1", "2", "abc", None),
    ]


def test_opencsv_takes_other_characters(shop: Shop, tables: Tables) -> None:
    properties = (
        "WITH SERDEPROPERTIES ('separatorChar'='\\t', 'quoteChar'='`', 'escapeChar'='\\\\')"
    )
    name = tables.over("`a\tb`\tc\n", "x string, y string", f"{OPEN_CSV} {properties}")
    assert shop.rows(f"SELECT x, y FROM {name}") == [("a\tb", "c")]


def test_opencsv_reads_times_as_unix_numbers(shop: Shop, tables: Tables) -> None:
    body = '"unixvalue creationdate","18276","1579059880000"\n'
    name = tables.over(body, "p string, day date, at timestamp", OPEN_CSV)
    assert shop.rows(f"SELECT day, at FROM {name}") == [
        (date(2020, 1, 15), datetime(2020, 1, 15, 3, 44, 40))
    ]


BAD_CSV = [
    ("n int", "\n".join(['"1"', '""']), "HIVE_BAD_DATA: Error parsing field value '' for field 0: For input string: \"\""),
    ("n double", "x\n", "HIVE_BAD_DATA: Error parsing field value 'x' for field 0"),
    ("d date", "2020-01-15\n", "HIVE_BAD_DATA: Error parsing field value '2020-01-15' for field 0"),
    ("m decimal(5,2)", "1.5\n", "NOT_SUPPORTED: The local Athena does not support the type decimal(5,2) of column m by OpenCSVSerde"),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "body", "wanted"), BAD_CSV)
def test_opencsv_fails_on_what_it_cannot_read(
    tables: Tables, columns: str, body: str, wanted: str
) -> None:
    name = tables.over(body, columns, OPEN_CSV)
    assert tables.reason(f"SELECT * FROM {name}").startswith(wanted)


def test_null_for_invalid_data_where_the_table_asks_for_it(shop: Shop, tables: Tables) -> None:
    name = tables.over('""\n5\n', "n int", OPEN_CSV, use_null_for_invalid_data="true")
    assert shop.rows(f"SELECT n FROM {name}") == [(None,), (5,)]


def test_a_csv_may_be_compressed_and_is_billed_whole(shop: Shop, tables: Tables) -> None:
    name, location = tables.new_name(), shop.folder()
    body = gzip.compress(b"h\n1\n2\n")
    tables.put(f"{location}a.csv.gz", body)
    tables.put(f"{location}b.csv", "h\n3\n")
    shop.made(
        f"CREATE EXTERNAL TABLE {name} (n int) {COMMAS} LOCATION '{location}' "
        "TBLPROPERTIES ('skip.header.line.count'='1')"
    )
    execution = shop.run(f"SELECT sum(n) FROM {name}")
    assert execution["Statistics"]["DataScannedInBytes"] == len(body) + 4
    assert shop.rows(f"SELECT sum(n) FROM {name}") == [(6,)]


def test_msck_repair_finds_partitions_of_csv_files(shop: Shop, tables: Tables) -> None:
    name, location = tables.new_name(), shop.folder()
    for day, body in (("2020-01-01", "1,a\n"), ("2020-01-02", "2,b\n3,c\n")):
        tables.put(f"{location}day={day}/x.csv", body)
    shop.made(
        f"CREATE EXTERNAL TABLE {name} (n int, s string) PARTITIONED BY (day date) {COMMAS} "
        f"LOCATION '{location}'"
    )
    shop.made(f"MSCK REPAIR TABLE {name}")
    sql = f"SELECT day, sum(n), max(s) FROM {name} GROUP BY day ORDER BY day"
    assert shop.rows(sql) == [(date(2020, 1, 1), 1, "a"), (date(2020, 1, 2), 5, "c")]
    other = shop.folder()
    tables.put(f"{other}y.csv", "9,z\n")
    shop.made(f"ALTER TABLE {name} ADD PARTITION (day='2020-01-03') LOCATION '{other}'")
    assert shop.rows(f"SELECT n FROM {name} WHERE day > DATE '2020-01-02'") == [(9,)]


DOCUMENTS = """{"Id": 1, "name": "a", "tags": ["x", "y"], "at": "2020-01-05 10:00:00.123", "in": {"K": 1.5}}
{"id": "2", "NAME": {"deep": true}, "tags": null}

"""


@pytest.mark.parametrize(
    "serde", [OPENX, "ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'"]
)
def test_json_documents_meet_columns_in_any_case(shop: Shop, tables: Tables, serde: str) -> None:
    columns = "id int, name string, tags array<string>, at timestamp, `in` struct<k:double>"
    name = tables.over(DOCUMENTS, columns, serde)
    sql = f'SELECT id, name, tags[2], at, "in".k FROM {name} WHERE id IS NOT NULL ORDER BY id'
    assert shop.rows(sql) == [
        (1, "a", "y", datetime(2020, 1, 5, 10, 0, 0, 123000), 1.5),
        (2, '{"deep":true}', None, None, None),
    ]


def test_malformed_json_fails_unless_it_is_ignored(shop: Shop, tables: Tables) -> None:
    body = '{"a": 1}\n{"a": \n'
    name = tables.over(body, "a int", OPENX)
    assert "HIVE_CURSOR_ERROR: Row is not a valid JSON Object" in tables.reason(
        f"SELECT a FROM {name}"
    )
    lenient = "WITH SERDEPROPERTIES ('ignore.malformed.json'='true', 'mapping.b'='a')"
    name = tables.over(body, "a int, b int", f"{OPENX} {lenient}")
    assert shop.rows(f"SELECT a, b FROM {name}") == [(1, 1), (None, None)]


def orc_file(**columns: list[Any]) -> bytes:
    out = io.BytesIO()
    orc.write_table(pa.table(columns), out)
    return out.getvalue()


def test_orc_is_read_by_position_unless_by_name(shop: Shop, tables: Tables) -> None:
    body = orc_file(x=[1, 2], y=["a", None], at=[datetime(2020, 1, 1, 0, 0, 0, 123456)] * 2)
    columns = "y bigint, x string, at timestamp, more double"
    name = tables.over(body, columns, "STORED AS ORC")
    assert shop.rows(f"SELECT y, x, at, more FROM {name} ORDER BY y") == [
        (1, "a", datetime(2020, 1, 1, 0, 0, 0, 123000), None),
        (2, None, datetime(2020, 1, 1, 0, 0, 0, 123000), None),
    ]
    serde = (
        "ROW FORMAT SERDE 'org.apache.hadoop.hive.ql.io.orc.OrcSerde' "
        "WITH SERDEPROPERTIES ('orc.column.index.access'='false') STORED AS ORC"
    )
    named = tables.over(body, "y string, x bigint", serde)
    assert shop.rows(f"SELECT x FROM {named} WHERE y = 'a'") == [(1,)]
    assert shop.rows(f"SELECT count(*) FROM {named}") == [(2,)]


def test_a_broken_orc_file_is_bad_data(tables: Tables) -> None:
    name = tables.over("nonsense", "x int", "STORED AS ORC")
    assert tables.reason(f"SELECT x FROM {name}").startswith("HIVE_BAD_DATA: Not a valid ORC file")


WRITTEN = (
    "SELECT 1 AS i, 'a' AS s, 2.5E0 AS d, CAST(9.99 AS decimal(5,2)) AS m, true AS b, "
    "DATE '2020-01-01' AS day, TIMESTAMP '2020-01-01 10:00:00.123' AS at, ARRAY['x', 'y'] AS l, 'p' AS k "
    "UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'q'"
)


@pytest.mark.parametrize("form", ["PARQUET", "ORC", "JSON", "TEXTFILE"])
@pytest.mark.parametrize("codec", ["", "ZSTD"])
def test_what_ctas_and_insert_write_is_read_back(
    shop: Shop, tables: Tables, form: str, codec: str
) -> None:
    name = tables.new_name()
    compressed = f", write_compression = '{codec}'" if codec else ""
    shop.made(
        f"CREATE TABLE {name} WITH (format = '{form}', partitioned_by = ARRAY['k']{compressed}) AS {WRITTEN}"
    )
    shop.made(f"INSERT INTO {name} {WRITTEN}")
    rows = shop.rows(f"SELECT DISTINCT i, s, d, m, b, day, at, l[2], k FROM {name} ORDER BY k")
    at = datetime(2020, 1, 1, 10, 0, 0, 123000)
    assert rows == [
        (1, "a", 2.5, Decimal("9.99"), True, date(2020, 1, 1), at, "y", "p"),
        (*(None,) * 8, "q"),
    ]
    assert shop.rows(f"SELECT count(*) FROM {name}") == [(4,)]


def test_opencsv_tables_take_inserts(shop: Shop, tables: Tables) -> None:
    name = tables.over("", "x string, n int", OPEN_CSV)
    shop.made(f"INSERT INTO {name} VALUES ('say \"hi\", \\you', 1)")
    assert shop.rows(f"SELECT x, n FROM {name}") == [('say "hi", \\you', 1)]


def test_unload_writes_json_and_delimited_text(shop: Shop) -> None:
    s3 = shop.client("s3")

    def unloaded(properties: str) -> str:
        location = shop.folder()
        shop.made(
            f"UNLOAD (SELECT 1 AS a, 'x' AS b, NULLIF(1, 1) AS c) TO '{location}' WITH ({properties})"
        )
        (key,) = shop.keys(location)
        assert key.endswith(".gz")
        return gzip.decompress(s3.get_object(Bucket=shop.bucket, Key=key)["Body"].read()).decode()

    assert json.loads(unloaded("format = 'JSON'")) == {"a": 1, "b": "x", "c": None}
    assert unloaded("format = 'TEXTFILE', field_delimiter = ','") == "1,x,\\N\n"
    assert unloaded("format = 'TEXTFILE', compression = 'gzip'") == "1\x01x\x01\\N\n"


@pytest.mark.parametrize("form", ["PARQUET", "ORC", "JSON", "TEXTFILE"])
def test_a_row_tells_the_file_that_it_is_from(shop: Shop, tables: Tables, form: str) -> None:
    name, location = tables.new_name(), shop.folder()
    shop.made(
        f"CREATE TABLE {name} WITH (format = '{form}', external_location = '{location}', "
        "partitioned_by = ARRAY['k']) AS SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(v, k)"
    )
    rows = shop.rows(f'SELECT v, k, "$path" FROM {name} ORDER BY v')
    assert [row[:2] for row in rows] == [(1, "a"), (2, "b")]
    assert all(path.startswith(f"{location}k={key}/") for _, key, path in rows)
    assert len(shop.connection().cursor().execute(f"SELECT * FROM {name}").description) == 2


REFUSED = [
    ("CREATE EXTERNAL TABLE {t} (x int) STORED AS AVRO LOCATION '{l}'", "tables stored as AVRO; it reads ParquetHiveSerDe, OrcSerde, LazySimpleSerDe"),
    ("CREATE EXTERNAL TABLE {t} (x int) ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.RegexSerDe' LOCATION '{l}'", "tables stored as org.apache.hadoop.hive.serde2.RegexSerDe"),
    ("CREATE TABLE {t} WITH (format = 'AVRO') AS SELECT 1 AS x", "CTAS in the format AVRO; use PARQUET, ORC, JSON or TEXTFILE"),
    ("CREATE TABLE {t} WITH (format = 'ORC', write_compression = 'BZIP2') AS SELECT 1 AS x", "ORC compressed by BZIP2; it writes ZLIB, SNAPPY"),
    ("CREATE TABLE {t} WITH (format = 'XML') AS SELECT 1 AS x", "INVALID_TABLE_PROPERTY: Unknown format 'XML'"),
    ("UNLOAD (SELECT 1 AS x) TO '{l}' WITH (compression = 'gzip')", "UNLOAD needs the property format"),
    ("UNLOAD (SELECT 1 AS x) TO '{l}' WITH (format = 'ORC', field_delimiter = ',')", "field_delimiter is of TEXTFILE"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "wanted"), REFUSED, ids=[sql for sql, _ in REFUSED])
def test_other_formats_are_refused_by_name(
    shop: Shop, tables: Tables, sql: str, wanted: str
) -> None:
    assert wanted in tables.reason(sql.format(t=tables.new_name(), l=shop.folder()))


def test_show_create_table_tells_the_serde(shop: Shop, tables: Tables) -> None:
    name = tables.over("1\n", "x int", f"{OPEN_CSV} WITH SERDEPROPERTIES ('separatorChar'=';')")
    text = "\n".join(line for (line,) in shop.rows(f"SHOW CREATE TABLE {name}"))
    assert "'org.apache.hadoop.hive.serde2.OpenCSVSerde'" in text
    assert "'separatorChar'=';'" in text
