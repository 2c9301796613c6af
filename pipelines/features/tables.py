"""The feature tables, declared, and the SQL that computes their daily snapshots.

A row (entity, D) holds what was known of the entity at 00:00 UTC of day D. It sees no payment at
or after that moment. There is a row for every entity seen in the 365 days before D, with zeros
where a window is empty; no row means that the entity is unknown.

Money is summed as decimal and becomes a double only to be divided, so that a mean does not depend
on the order in which the engine adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Protocol

from mlops.errors import NotFound
from pipelines.data.schema import TABLE as PAYMENTS
from pipelines.features.schemas.columns import Column

SEEN_DAYS = 365
"""How long an entity is remembered after its last payment."""
WINDOWS = (1, 7, 30)
"""Days."""


class DeclaredTable(Protocol):
    """What building and evolving ask of a feature table."""

    @property
    def name(self) -> str:
        """Of the view that readers see."""

    @property
    def rows_table(self) -> str:
        """Of the table with all generations."""

    @property
    def key(self) -> str:
        """The column that names the entity."""

    @property
    def schema(self) -> tuple[Column, ...]:
        """The columns, without the partitions; `event_time` and `created` are among them."""

    def snapshots(self, first: date, last: date, *, created: str, database: str) -> str:
        """A SELECT of the columns and `day`, for the days first to last, both included.

        created: 'YYYY-MM-DD HH:MM:SS.mmm', UTC.
        """


@dataclass(frozen=True)
class FeatureTable:
    """One entity's windows over the payments of each day."""

    name: str
    key: str
    daily: str
    """What one day's payments add up to, as an aggregate named `total` beside the count `n`."""
    count: str
    """Name of the count features, with the window to be filled in."""
    ratio: str
    """Name of the features that are total by count."""
    texts: tuple[str, str]
    """What the two mean, with the window to be filled in."""
    largest: float | None = None
    """What a ratio cannot exceed; it is never negative."""
    delay_days: int = 0
    """The windows end this many days before the snapshot, because labels arrive late."""
    windows: tuple[int, ...] = WINDOWS
    renamed: Mapping[str, str] = field(default_factory=dict)
    """New names of columns that have others on record."""

    @property
    def rows_table(self) -> str:
        return f"{self.name}_rows"

    @property
    def schema(self) -> tuple[Column, ...]:
        moments = {
            "event_time": "From when the row holds: 00:00 UTC of its day.",
            "created": "When the row was built, by the platform's clock.",
        }
        return (
            Column(name=self.key, type="string", required=True, description="Whom it describes."),
            *(
                Column(name=name, type="timestamp", required=True, description=words)
                for name, words in moments.items()
            ),
            *(self._feature(self.count, self.texts[0], days, "bigint") for days in self.windows),
            *(
                self._feature(self.ratio, self.texts[1], days, "double", self.largest)
                for days in self.windows
            ),
        )

    def _feature(
        self, pattern: str, words: str, days: int, kind: str, largest: float | None = None
    ) -> Column:
        name = pattern.format(days=days)
        return Column(
            name=name,
            type=kind,
            required=True,
            minimum=0,
            maximum=largest,
            description=words.format(days=days),
            formerly=self.renamed.get(name),
        )

    def snapshots(self, first: date, last: date, *, created: str, database: str) -> str:
        return snapshot_sql(self, first, last, created=created, database=database)


CUSTOMER_SPEND = FeatureTable(
    name="customer_spend",
    key="customer_id",
    daily="sum(amount)",
    count="customer_count_{days}d",
    ratio="customer_mean_amount_{days}d",
    texts=(
        "Payments, window {days} d.",
        "Mean amount, window {days} d; 0 without payments.",
    ),
)
TERMINAL_RISK = FeatureTable(
    name="terminal_risk",
    key="terminal_id",
    daily="count_if(is_fraud)",
    count="terminal_count_{days}d",
    ratio="terminal_fraud_share_{days}d",
    texts=(
        "Payments, window {days} d, ending 7 d ago.",
        "Share of frauds, window {days} d, ending 7 d ago; 0 without payments.",
    ),
    largest=1,
    delay_days=7,
)
TABLES = {table.name: table for table in (CUSTOMER_SPEND, TERMINAL_RISK)}


def find_table(name: str) -> FeatureTable:
    try:
        return TABLES[name]
    except KeyError:
        raise NotFound(
            f"There is no feature table '{name}'. There are {', '.join(TABLES)}."
        ) from None


def snapshot_sql(
    table: FeatureTable, first: date, last: date, *, created: str, database: str
) -> str:
    """A SELECT of the snapshots of days first to last, both included.

    created: 'YYYY-MM-DD HH:MM:SS.mmm', UTC. Columns as declared, then `day`.
    The daily sums are laid out on a grid of every entity and day, so that a window is a number of
    rows.
    """
    grid_first = first - timedelta(days=table.delay_days + max(table.windows))
    seen_first = first - timedelta(days=SEEN_DAYS)
    counts = ",\n  ".join(_count(table, days) for days in table.windows)
    ratios = ",\n  ".join(_ratio(table, days) for days in table.windows)
    windows = ",\n  ".join(_frame(table, days) for days in table.windows)
    return f"""WITH daily AS (
  SELECT {table.key} AS k, CAST("day" AS date) AS d, count(*) AS n, {table.daily} AS total
  FROM "{database}"."{PAYMENTS}"
  WHERE "day" >= '{seen_first}' AND "day" < '{last}'
  GROUP BY 1, 2
),
entities AS (
  SELECT k, max(CASE WHEN d < DATE '{grid_first}' THEN d END) AS seen_before
  FROM daily
  GROUP BY 1
),
grid AS (
  SELECT e.k, e.seen_before, CAST(days.d AS date) AS d
  FROM entities e
  CROSS JOIN UNNEST(sequence(DATE '{grid_first}', DATE '{last}', INTERVAL '1' DAY)) AS days (d)
),
windows AS (
  SELECT
  grid.k,
  grid.d,
  coalesce(
    max(CASE WHEN daily.n > 0 THEN grid.d END)
      OVER (PARTITION BY grid.k ORDER BY grid.d ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
    grid.seen_before
  ) AS last_seen,
  {windows}
  FROM grid
  LEFT JOIN daily ON daily.k = grid.k AND daily.d = grid.d
)
SELECT
  k AS {table.key},
  CAST(d AS timestamp) AS event_time,
  CAST('{created}' AS timestamp) AS created,
  {counts},
  {ratios},
  CAST(d AS varchar) AS "day"
FROM windows
WHERE d >= DATE '{first}' AND last_seen >= date_add('day', -{SEEN_DAYS}, d)"""  # noqa: S608  # ours


def _frame(table: FeatureTable, days: int) -> str:
    start, end = table.delay_days + days, table.delay_days + 1
    frame = (
        f"(PARTITION BY grid.k ORDER BY grid.d ROWS BETWEEN {start} PRECEDING AND {end} PRECEDING)"
    )
    return (
        f"coalesce(sum(daily.n) OVER {frame}, 0) AS n_{days},\n"
        f"  sum(daily.total) OVER {frame} AS total_{days}"
    )


def _count(table: FeatureTable, days: int) -> str:
    return f"CAST(n_{days} AS bigint) AS {table.count.format(days=days)}"


def _ratio(table: FeatureTable, days: int) -> str:
    return (
        f"CASE WHEN n_{days} > 0 THEN CAST(total_{days} AS double) / n_{days} ELSE 0.0E0 END "
        f"AS {table.ratio.format(days=days)}"
    )
