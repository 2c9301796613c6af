"""The raw payments: Parquet in S3 and partitions in Glue, behind the view that everybody reads.

Files never change once they are registered. What readers see is one view, replaced in one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mlops.athena import Athena
from mlops.aws import Aws, translated
from mlops.errors import Conflict, NotFound
from mlops.names import Names
from pipelines.data.schema import RAW_PREFIX, ROWS_TABLE, TABLE, create_table_sql, view_sql

_PARTITIONS_PER_STATEMENT = 500
"""Keeps a statement well below Athena's 262,144 bytes."""
_IDS_PREFIX = "imports/"


@dataclass(frozen=True)
class Partition:
    """The files that one import brought for one day."""

    day: str
    import_id: str

    @property
    def prefix(self) -> str:
        return f"{RAW_PREFIX}day={self.day}/import_id={self.import_id}/"

    @property
    def spec(self) -> str:
        """As Hive's statements name it."""
        return f"PARTITION (day = '{self.day}', import_id = '{self.import_id}')"


@dataclass(frozen=True)
class Visible:
    """Which imports count: all up to a commit, but for some.

    Import ids begin with the number of their commit, so that what comes later is left out whether
    it is registered or not.
    """

    through: int = 0
    hidden: frozenset[str] = frozenset()

    def __contains__(self, import_id: str) -> bool:
        return import_id < self._end and import_id not in self.hidden

    def without(self, import_ids: Sequence[str]) -> Visible:
        return Visible(self.through, self.hidden | set(import_ids))

    @property
    def condition(self) -> str:
        """On the column import_id, in SQL; Athena decides it on the partitions alone."""
        if not self.through:
            return "false"
        hidden = ", ".join(f"'{import_id}'" for import_id in sorted(self.hidden))
        left_out = f" AND import_id NOT IN ({hidden})" if hidden else ""
        return f"import_id < '{self._end}'{left_out}"

    @property
    def _end(self) -> str:
        return f"{self.through + 1:08d}"


REPEATED = pa.schema(
    [
        ("payment_id", pa.string()),
        ("unit", pa.int64()),
        ("import_id", pa.string()),
        ("first_unit", pa.int64()),
    ]
)
"""Ids that are taken: by an import that is visible (import_id), or by an earlier unit."""


class PaymentsTable:
    """What importing asks of the table."""

    def __init__(self, names: Names, aws: Aws, athena: Athena) -> None:
        self._names = names
        self._glue = aws.client("glue")
        self._s3 = aws.client("s3")
        self._athena = athena

    def create(self) -> None:
        """Creating it twice does nothing. Raises Conflict for a table of an older layout."""
        self._refuse_older_layout()
        location = f"s3://{self._names.data_bucket}/{RAW_PREFIX}"
        self._athena.run(create_table_sql(self._names.database, location))

    def _refuse_older_layout(self) -> None:
        try:
            with translated(f"Looking up '{TABLE}' in the catalog"):
                found = self._glue.get_table(DatabaseName=self._names.database, Name=TABLE)
        except NotFound:
            return
        if found["Table"].get("TableType") != "VIRTUAL_VIEW":
            raise Conflict(
                f"'{TABLE}' is a table in {self._names.database}, of a layout before imports could "
                "be corrected; it is a view now. Drop it (its files stay) and import its files "
                "again; on the local AWS: mlops local reset."
            )

    def write(self, partition: Partition, name: str, body: bytes) -> None:
        """Put one of the partition's files; nobody sees it before it is registered."""
        key = f"{partition.prefix}{name}"
        with translated(f"Writing s3://{self._names.data_bucket}/{key}"):
            self._s3.put_object(Bucket=self._names.data_bucket, Key=key, Body=body)

    def register(self, partitions: Sequence[Partition]) -> None:
        """Tell the catalog of the files; registering one twice does nothing."""
        bucket = self._names.data_bucket
        clauses = [f"{p.spec} LOCATION 's3://{bucket}/{p.prefix}'" for p in partitions]
        self._alter("ADD IF NOT EXISTS", clauses, separator="\n")

    def unregister(self, partitions: Sequence[Partition]) -> None:
        """Have the catalog forget them; the files stay."""
        self._alter("DROP IF EXISTS", [p.spec for p in partitions], separator=", ")

    def _alter(self, action: str, clauses: Sequence[str], *, separator: str) -> None:
        for start in range(0, len(clauses), _PARTITIONS_PER_STATEMENT):
            some = separator.join(clauses[start : start + _PARTITIONS_PER_STATEMENT])
            self._athena.run(
                f"ALTER TABLE `{self._names.database}`.`{ROWS_TABLE}` {action}\n{some}"
            )

    def show(self, visible: Visible) -> None:
        """Have everybody see these imports, all of them from one moment on."""
        self._athena.run(view_sql(self._names.database, visible.condition))

    def repeated(self, ids: Path, visible: Visible, *, name: str) -> pa.Table:
        """Which of the ids are taken; see REPEATED.

        ids: a Parquet file of payment_id and unit, the place in the order of arrival. It is joined
        on Athena, so that neither side has to fit in memory here. name: of a table for the moment.
        """
        bucket, key = self._names.staging_bucket, f"{_IDS_PREFIX}{name}/ids.parquet"
        database, table = self._names.database, f"import_{name}"
        try:
            with translated(f"Writing s3://{bucket}/{key}"), ids.open("rb") as file:
                self._s3.put_object(Bucket=bucket, Key=key, Body=file)
            self._athena.run(
                f"CREATE EXTERNAL TABLE IF NOT EXISTS `{database}`.`{table}` "
                "(`payment_id` string, `unit` bigint) STORED AS PARQUET "
                f"LOCATION 's3://{bucket}/{_IDS_PREFIX}{name}/'"
            )
            found = self._athena.table(repeated_sql(database, table, visible))
        finally:
            self._athena.run(f"DROP TABLE IF EXISTS `{database}`.`{table}`")
            with translated(f"Deleting s3://{bucket}/{key}"):
                self._s3.delete_object(Bucket=bucket, Key=key)
        return found.select(REPEATED.names).cast(REPEATED)


def repeated_sql(database: str, ids: str, visible: Visible) -> str:
    """A SELECT of the columns of REPEATED."""
    stored = (
        f'SELECT payment_id, min(import_id) AS import_id FROM "{database}"."{ROWS_TABLE}" '  # noqa: S608  # our names
        f"WHERE {visible.condition} "
        f'AND payment_id IN (SELECT payment_id FROM "{database}"."{ids}") GROUP BY 1'
    )
    if not visible.through:
        stored = "SELECT CAST(NULL AS varchar) AS payment_id, CAST(NULL AS varchar) AS import_id"
    return (
        f"WITH stored AS ({stored}), "  # noqa: S608  # our names
        f'earliest AS (SELECT payment_id, min(unit) AS unit FROM "{database}"."{ids}" GROUP BY 1) '
        "SELECT i.payment_id, i.unit, s.import_id, f.unit AS first_unit "
        f'FROM "{database}"."{ids}" i '
        "JOIN earliest f ON f.payment_id = i.payment_id "
        "LEFT JOIN stored s ON s.payment_id = i.payment_id "
        "WHERE s.import_id IS NOT NULL OR f.unit < i.unit"
    )
