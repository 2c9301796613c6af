"""A schema evolves in one step for readers; whatever is interrupted, the next run finishes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from mlops.errors import JobFailed, Refused
from pipelines.features.build import BuildRequest, build_table, past_queries
from pipelines.features.buildlog import BuildLog, load_log, log_key, save_log
from pipelines.features.schemas.consumers import Consumer
from pipelines.features.schemas.evolution import EvolveRequest, SchemaReport, evolve_tables
from pipelines.features.tables import CUSTOMER_SPEND, TABLES, TERMINAL_RISK, DeclaredTable
from tests.feature_builds import FIRST, NAMES, FixedFooters, RacedDocuments, RecordedQueries, paid

WIDER = replace(CUSTOMER_SPEND, windows=(1, 7, 14, 30))
FEWER = replace(CUSTOMER_SPEND, windows=(7, 30))
RENAMED = replace(
    CUSTOMER_SPEND,
    ratio="customer_average_{days}d",
    renamed={f"customer_average_{n}d": f"customer_mean_amount_{n}d" for n in (1, 7, 30)},
)
SERVICE = Consumer(kind="feature service", name="fraud_v1", columns=("customer_count_1d",))
BUILT, LATER = datetime(2025, 2, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)


@dataclass
class Workshop:
    queries: RecordedQueries = field(default_factory=RecordedQueries)
    documents: RacedDocuments = field(default_factory=RacedDocuments)
    asked: list[tuple[str, set[str]]] = field(default_factory=list)

    def build(self, table: DeclaredTable = CUSTOMER_SPEND, *, now: datetime = BUILT) -> None:
        request = BuildRequest(now=now, built_by="arn:me", new_id=lambda: f"b{now:%m}")
        build_table(
            table,
            request,
            names=NAMES,
            queries=self.queries,
            documents=self.documents,
            footers=FixedFooters(),
            payments=paid((now.date() - FIRST).days),
        )
        self.queries.statements.clear()

    def consumers(self, table: str, columns: Collection[str]) -> list[Consumer]:
        self.asked.append((table, {*columns}))
        return [SERVICE]

    def evolve(
        self, *tables: DeclaredTable, allow_breaking: bool = False, dry_run: bool = False
    ) -> list[SchemaReport]:
        request = EvolveRequest(
            now=LATER, by="arn:you", why="a test", allow_breaking=allow_breaking, dry_run=dry_run
        )
        return evolve_tables(
            tables,
            request,
            names=NAMES,
            queries=self.queries,
            documents=self.documents,
            find=self.consumers,
        )

    @property
    def log(self) -> BuildLog:
        return load_log(self.documents, "customer_spend")[0]


@pytest.fixture
def workshop() -> Workshop:
    workshop = Workshop()
    workshop.build()
    return workshop


def columns_of(view: str) -> str:
    return view.partition("SELECT ")[2].partition("\nFROM")[0]


def test_an_addition_is_free_and_readers_see_it_last(workshop: Workshop) -> None:
    [report] = workshop.evolve(WIDER)
    assert (report.state, report.version) == ("evolved", 2)
    assert [d.words.partition(":")[0] for d in report.differences] == [
        "added customer_count_14d",
        "added customer_mean_amount_14d",
    ]
    assert workshop.queries.kinds() == ["SHOW", "ALTER", "CREATE"]
    assert '"customer_count_14d"' in columns_of(workshop.queries.view)


def test_who_evolved_when_and_why_stays_with_the_version(workshop: Workshop) -> None:
    workshop.evolve(WIDER)
    first, second = workshop.log.schemas
    assert (first.number, first.by, first.at) == (1, "arn:me", BUILT)
    assert (second.number, second.by, second.at, second.why) == (2, "arn:you", LATER, "a test")
    assert second.changes[0].startswith("added customer_count_14d")


def test_evolving_twice_changes_nothing(workshop: Workshop) -> None:
    workshop.evolve(WIDER)
    before = dict(workshop.documents.stored)
    workshop.queries.statements.clear()
    [report] = workshop.evolve(WIDER)
    assert report.state == "as declared"
    assert workshop.documents.stored == before
    assert workshop.queries.statements == []


def test_what_breaks_readers_is_refused_with_their_names(workshop: Workshop) -> None:
    before = dict(workshop.documents.stored)
    with pytest.raises(
        Refused, match=r"removed customer_count_1d.*feature service fraud_v1.*allow"
    ):
        workshop.evolve(FEWER)
    assert workshop.asked == [("customer_spend", {"customer_count_1d", "customer_mean_amount_1d"})]
    assert workshop.documents.stored == before
    assert workshop.queries.statements == []


def test_one_table_that_would_break_readers_holds_back_the_others(workshop: Workshop) -> None:
    workshop.build(TERMINAL_RISK)
    before = dict(workshop.documents.stored)
    with pytest.raises(Refused):
        workshop.evolve(WIDER, replace(TERMINAL_RISK, windows=(1,)))
    assert workshop.documents.stored == before


def test_what_was_allowed_takes_the_column_from_readers_and_keeps_its_files(
    workshop: Workshop,
) -> None:
    [report] = workshop.evolve(FEWER, allow_breaking=True)
    assert report.consumers == (SERVICE,)
    assert "customer_count_1d" not in columns_of(workshop.queries.view)
    assert not [sql for sql in workshop.queries.statements if sql.startswith("ALTER")]


def test_a_renamed_column_is_read_from_the_files_that_are_there(workshop: Workshop) -> None:
    workshop.evolve(RENAMED, allow_breaking=True)
    assert '"customer_mean_amount_7d" AS "customer_average_7d"' in workshop.queries.view
    workshop.build(RENAMED, now=LATER)
    assert workshop.log.builds[-1].schema_version == 2


def test_a_build_after_a_renaming_writes_what_the_files_call_it(workshop: Workshop) -> None:
    workshop.evolve(RENAMED, allow_breaking=True)
    workshop.queries.fail_at = "UNLOAD"
    with pytest.raises(JobFailed):
        workshop.build(RENAMED, now=LATER)
    assert '"customer_average_7d" AS "customer_mean_amount_7d"' in workshop.queries.statements[-1]


def test_a_dry_run_says_what_would_change_and_changes_nothing(workshop: Workshop) -> None:
    before = dict(workshop.documents.stored)
    [report] = workshop.evolve(WIDER, dry_run=True)
    assert (report.state, len(report.differences)) == ("differs", 2)
    assert workshop.documents.stored == before
    assert workshop.queries.statements == []


def test_a_table_that_was_never_built_has_nothing_to_evolve() -> None:
    [report] = Workshop().evolve(WIDER)
    assert (report.state, report.version) == ("not recorded", None)


@pytest.mark.parametrize("interrupted_at", ["ADD COLUMNS", "CREATE OR REPLACE VIEW"])
@pytest.mark.parametrize("finisher", ["evolve", "build"])
def test_an_interrupted_run_is_finished_by_the_next_or_by_a_build(
    workshop: Workshop, interrupted_at: str, finisher: str
) -> None:
    workshop.queries.fail_at = interrupted_at
    with pytest.raises(JobFailed):
        workshop.evolve(WIDER)
    assert (workshop.log.recorded or pytest.fail("no version")).number == 2
    assert not workshop.log.is_published
    workshop.queries.fail_at = None
    if finisher == "build":
        workshop.build(WIDER)
    else:
        assert [report.state for report in workshop.evolve(WIDER)] == ["finished"]
    assert workshop.log.is_published
    assert "customer_count_14d" in workshop.queries.columns["customer_spend_rows"]


def test_columns_that_another_run_added_meanwhile_are_no_failure(workshop: Workshop) -> None:
    run = workshop.queries.run

    def after_another(sql: str) -> None:
        run(sql)
        if "ADD COLUMNS" in sql:
            raise JobFailed("Athena: Duplicate column name: customer_count_14d")

    workshop.queries.run = after_another  # type: ignore[method-assign]  # as Hive would
    [report] = workshop.evolve(WIDER)
    assert report.state == "evolved"


def raced(workshop: Workshop, other: Sequence[DeclaredTable]) -> None:
    """Another run evolves right before the next write of ours."""
    elsewhere = Workshop(RecordedQueries(columns={**workshop.queries.columns}))
    elsewhere.documents.stored = dict(workshop.documents.stored)
    elsewhere.evolve(*other, allow_breaking=True)
    key = log_key("customer_spend")
    workshop.documents.instead[key] = elsewhere.documents.stored[key]


def test_two_that_evolve_alike_record_one_version(workshop: Workshop) -> None:
    raced(workshop, [WIDER])
    assert [report.state for report in workshop.evolve(WIDER)] == ["as declared"]
    assert [version.number for version in workshop.log.schemas] == [1, 2]


def test_the_second_of_two_that_differ_is_held_against_what_the_first_recorded(
    workshop: Workshop,
) -> None:
    raced(workshop, [WIDER])
    narrower = replace(CUSTOMER_SPEND, windows=(1, 7, 21, 30))
    with pytest.raises(Refused, match="removed customer_count_14d"):
        workshop.evolve(narrower)
    assert [version.number for version in workshop.log.schemas] == [1, 2]
    assert workshop.log.is_published


def test_a_build_that_began_before_the_change_is_not_logged_after_it(workshop: Workshop) -> None:
    log, document = load_log(workshop.documents, "customer_spend")
    workshop.evolve(WIDER)
    with pytest.raises(Exception, match="changed meanwhile"):
        save_log(workshop.documents, log, replacing=document)


def test_the_past_is_read_in_the_schema_of_its_time(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.evolve(RENAMED, allow_breaking=True)
    workshop.build(RENAMED, now=LATER)
    monkeypatch.setitem(TABLES, "customer_spend", RENAMED)
    past = past_queries(workshop.documents, "db", LATER - timedelta(days=1))["customer_spend"]
    now = past_queries(workshop.documents, "db", LATER)["customer_spend"]
    assert columns_of(past).endswith('"customer_mean_amount_30d", "day"')
    assert columns_of(now).endswith('"customer_mean_amount_30d" AS "customer_average_30d", "day"')
