"""A build writes under a prefix of its own, and is seen by readers at once or not at all."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from mlops.errors import Conflict, InputError, JobFailed, NotFound, Refused, Unavailable
from mlops.objects import Document, MemoryDocuments
from pipelines.data.ledger import Ledger
from pipelines.features.build import BuildReport, BuildRequest, build_table
from pipelines.features.buildlog import load_log
from pipelines.features.tables import CUSTOMER_SPEND, DeclaredTable, find_table
from tests.feature_builds import NAMES, FixedFooters, RecordedQueries, paid


@dataclass
class Workshop:
    table: DeclaredTable = CUSTOMER_SPEND
    queries: RecordedQueries = field(default_factory=RecordedQueries)
    footers: FixedFooters = field(default_factory=FixedFooters)
    documents: MemoryDocuments = field(default_factory=MemoryDocuments)
    payments: Ledger = field(default_factory=Ledger)
    ids: Any = field(default_factory=lambda: map("b{}".format, itertools.count()))

    def build(
        self,
        now: str = "2026-01-01",
        *,
        first: date | None = None,
        last: date | None = None,
        rebuild: bool = False,
        dry_run: bool = False,
    ) -> BuildReport:
        moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
        request = BuildRequest(
            now=moment,
            built_by="arn:someone",
            new_id=lambda: str(next(self.ids)),
            first=first,
            last=last,
            rebuild=rebuild,
            dry_run=dry_run,
        )
        self.queries.statements.clear()
        return build_table(
            self.table,
            request,
            names=NAMES,
            queries=self.queries,
            documents=self.documents,
            footers=self.footers,
            payments=self.payments,
        )

    def current(self) -> list[tuple[str, str, str]]:
        log, _ = load_log(self.documents, "customer_spend")
        return [(c.generation, str(c.days.first), str(c.days.last)) for c in log.current]


@pytest.fixture
def workshop() -> Workshop:
    return Workshop(payments=paid(10))


def test_the_first_build_covers_every_day_after_a_payment(workshop: Workshop) -> None:
    report = workshop.build()
    assert (str(report.first), str(report.last), report.days) == ("2025-01-02", "2025-01-11", 10)
    assert (report.generation, report.rows) == ("g0001", 70)


def test_readers_see_a_build_last(workshop: Workshop) -> None:
    workshop.build()
    assert workshop.queries.kinds() == ["CREATE", "UNLOAD", "SHOW", "ALTER", "CREATE"]
    assert "generation = 'g0001' AND \"day\" BETWEEN '2025-01-02' AND '2025-01-11'" in (
        workshop.queries.view
    )


def test_each_build_writes_under_a_prefix_of_its_own(workshop: Workshop) -> None:
    workshop.build()
    [unload, alter] = [
        sql
        for sql in workshop.queries.statements
        if sql.startswith("UNLOAD") or "customer_spend_rows` ADD" in sql
    ]
    prefix = "/features/customer_spend/generation=g0001/build=b0/"
    assert f"{prefix}'" in unload
    assert f"{prefix}day=2025-01-02/'" in alter


def test_a_second_run_builds_nothing(workshop: Workshop) -> None:
    workshop.build()
    assert workshop.build().days == 0
    assert workshop.queries.statements == []


def test_a_new_day_is_added_to_the_current_generation(workshop: Workshop) -> None:
    workshop.build()
    workshop.payments = paid(1, date(2025, 1, 11), after=workshop.payments)
    report = workshop.build()
    assert (str(report.first), report.days, report.generation) == ("2025-01-12", 1, "g0001")
    assert workshop.current() == [("g0001", "2025-01-02", "2025-01-12")]


def test_the_clock_bounds_what_is_built(workshop: Workshop) -> None:
    assert str(workshop.build("2025-01-05T23:00:00").last) == "2025-01-05"
    assert str(workshop.build("2025-01-06").first) == "2025-01-06"


def test_a_backfill_of_many_days_takes_pieces_of_a_hundred(workshop: Workshop) -> None:
    workshop.payments = paid(250)
    assert workshop.build().days == 250
    assert workshop.queries.kinds().count("UNLOAD") == 3
    assert workshop.current() == [("g0001", "2025-01-02", "2025-09-08")]


def test_a_rebuild_swaps_its_days_in_one_statement(workshop: Workshop) -> None:
    workshop.build()
    report = workshop.build(first=date(2025, 1, 4), last=date(2025, 1, 5), rebuild=True)
    assert report.generation == "g0002"
    assert workshop.current() == [
        ("g0001", "2025-01-02", "2025-01-03"),
        ("g0002", "2025-01-04", "2025-01-05"),
        ("g0001", "2025-01-06", "2025-01-11"),
    ]
    assert workshop.queries.kinds().count("CREATE") == 2, "the table and one view"


def test_a_dry_run_says_what_would_be_built(workshop: Workshop) -> None:
    report = workshop.build(dry_run=True)
    assert (report.days, report.rows, report.dry_run) == (10, None, True)
    assert not workshop.queries.statements
    assert not workshop.documents.stored


def test_a_build_that_fails_changes_nothing_that_is_read(workshop: Workshop) -> None:
    workshop.build("2025-01-05")
    before = workshop.current()
    workshop.queries.fail_at = "UNLOAD"
    with pytest.raises(JobFailed):
        workshop.build()
    assert workshop.current() == before
    workshop.queries.fail_at = None
    assert workshop.build().days == 6


def test_what_a_failed_build_wrote_is_removed_and_nothing_else(workshop: Workshop) -> None:
    workshop.build("2025-01-05")
    earlier = "features/customer_spend/generation=g0001/build=b0/day=2025-01-02/part"
    torn = "features/customer_spend/generation=g0001/build=b1/day=2025-01-06/part"
    workshop.documents.stored |= {earlier: b"", torn: b""}
    workshop.queries.fail_at = "UNLOAD"
    with pytest.raises(JobFailed):
        workshop.build()
    assert earlier in workshop.documents.stored
    assert torn not in workshop.documents.stored


def test_a_build_whose_log_was_written_but_not_acknowledged_keeps_its_files(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = "features/customer_spend/generation=g0001/build=b0/day=2025-01-02/part"
    workshop.documents.stored[written] = b""
    create = workshop.documents.create

    def unacknowledged(key: str, body: bytes) -> Document:
        create(key, body)
        raise Unavailable("the answer was lost")

    monkeypatch.setattr(workshop.documents, "create", unacknowledged)
    with pytest.raises(Unavailable):
        workshop.build()
    assert written in workshop.documents.stored


@pytest.mark.parametrize("interrupted_at", ["_rows` ADD IF", "CREATE OR REPLACE VIEW"])
def test_a_build_interrupted_before_readers_saw_it_is_finished_by_the_next_run(
    workshop: Workshop, interrupted_at: str
) -> None:
    workshop.queries.fail_at = interrupted_at
    with pytest.raises(JobFailed):
        workshop.build()
    workshop.queries.fail_at = None
    assert workshop.build().days == 0
    assert workshop.queries.kinds() == ["CREATE", "SHOW", "ALTER", "CREATE"]
    assert "'2025-01-11'" in workshop.queries.view


def test_two_builds_at_once_do_not_both_count(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = workshop.documents.create

    def after_another(key: str, body: bytes) -> Document:
        create(key, body)
        return create(key, body)

    monkeypatch.setattr(workshop.documents, "create", after_another)
    with pytest.raises(Conflict):
        workshop.build()


def test_late_payments_are_reported_until_the_days_are_rebuilt(workshop: Workshop) -> None:
    workshop.build()
    workshop.payments = paid(1, date(2025, 1, 6), after=workshop.payments)
    stale = workshop.build().stale_from
    assert stale == date(2025, 1, 7)
    assert workshop.build(first=stale, rebuild=True).stale_from is None


@pytest.mark.parametrize(
    ("payments", "last", "message"),
    [
        (paid(10), date(2025, 3, 1), "payments reach to 2025-01-10"),
        (paid(400), date(2026, 1, 15), "clock stands at 2026-01-01"),
    ],
)
def test_a_day_that_cannot_be_built_yet_is_refused(
    workshop: Workshop, payments: Ledger, last: date, message: str
) -> None:
    workshop.payments = payments
    with pytest.raises(InputError, match=message):
        workshop.build(last=last)


def test_without_payments_the_remedy_is_named(workshop: Workshop) -> None:
    workshop.payments = Ledger()
    with pytest.raises(NotFound, match="mlops data import FILE"):
        workshop.build()


def test_an_unknown_table_is_refused_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match="There are customer_spend, terminal_risk"):
        find_table("weather")


# The schema


WIDER = replace(CUSTOMER_SPEND, windows=(1, 7, 14, 30))


def test_the_first_build_records_version_1_with_its_rows(workshop: Workshop) -> None:
    workshop.build()
    log, _ = load_log(workshop.documents, "customer_spend")
    assert [(v.number, v.declared, v.by) for v in log.schemas] == [
        (1, list(CUSTOMER_SPEND.schema), "arn:someone")
    ]
    assert {build.schema_version for build in log.builds} == {1}
    assert log.is_published


def test_a_table_built_before_schemas_were_recorded_gets_version_1(workshop: Workshop) -> None:
    workshop.build()
    log, document = load_log(workshop.documents, "customer_spend")
    old = log.model_dump(mode="json", exclude={"schemas", "shown", "sweeps"})
    body = json.dumps(old).encode()
    assert document is not None
    workshop.documents.put(document.key, body)
    assert workshop.build().days == 0
    log, _ = load_log(workshop.documents, "customer_spend")
    assert [version.number for version in log.schemas] == [1]
    assert workshop.queries.kinds() == ["CREATE", "SHOW", "CREATE"], "and nothing is unloaded"


def test_a_build_is_refused_while_another_schema_is_declared(workshop: Workshop) -> None:
    workshop.build("2025-01-05")
    workshop.table = WIDER
    with pytest.raises(Refused, match=r"added customer_count_14d.*schema evolve customer_spend"):
        workshop.build()
    assert workshop.queries.statements == []


def test_other_words_about_a_column_stop_no_build(workshop: Workshop) -> None:
    workshop.build("2025-01-05")
    workshop.table = replace(CUSTOMER_SPEND, texts=("Payments.", "Mean."))
    assert workshop.build().days == 6


# What does not fit


def test_what_was_written_is_looked_at_before_the_log_takes_it_in(workshop: Workshop) -> None:
    seen: list[bool] = []
    rows = workshop.queries.rows

    def looking(sql: str) -> list[tuple[Any, ...]]:
        if "feast_entity_df_" in sql:
            seen.append(bool(workshop.documents.stored))
        return rows(sql)

    workshop.queries.rows = looking  # type: ignore[method-assign]  # a spy
    workshop.build()
    assert seen == [False]
    assert "DROP TABLE" in "".join(workshop.queries.statements)


RULES = [
    "customer_id is null",
    "event_time is null",
    "created is null",
    "customer_count_1d is null",
    "customer_count_1d is below 0",
]


@pytest.mark.parametrize("number", range(len(RULES)))
def test_rows_that_do_not_fit_are_refused_and_removed(workshop: Workshop, number: int) -> None:
    workshop.queries.unfit[number] = 12
    torn = "features/customer_spend/generation=g0001/build=b0/day=2025-01-02/part"
    workshop.documents.stored[torn] = b""
    words = rf"\(70 rows\).*version 1.*{RULES[number]} in 12 rows \(c1 at 2025-01-04.*: -3.5\)"
    with pytest.raises(Refused, match=words):
        workshop.build()
    assert workshop.documents.stored == {}
    assert "DROP TABLE" in workshop.queries.statements[-1]


def test_a_row_that_is_there_twice_is_refused(workshop: Workshop) -> None:
    workshop.queries.unfit[-1] = 1
    with pytest.raises(Refused, match=r"\(customer_id, event_time\) is there more than once in 1 "):
        workshop.build()


def test_a_day_without_rows_is_refused_where_there_are_payments(workshop: Workshop) -> None:
    workshop.queries.empty = {"2025-01-04", "2025-01-07"}
    with pytest.raises(Refused, match=r"days without a row, .*: 2025-01-04, 2025-01-07\."):
        workshop.build()


def test_a_day_may_be_empty_when_nobody_paid_for_a_year(workshop: Workshop) -> None:
    workshop.payments = paid(1, date(2026, 3, 1), after=paid(1))
    workshop.queries.empty = {"2026-01-02", "2026-03-01"}
    assert workshop.build("2026-03-02").days == 425


def test_a_column_of_another_type_is_refused_by_its_name(workshop: Workshop) -> None:
    types = {column.name: column.type for column in CUSTOMER_SPEND.schema}
    workshop.footers.types = types | {"customer_count_7d": "decimal(38,0)"}
    with pytest.raises(Refused, match=r"customer_count_7d was written as decimal\(38,0\) and is b"):
        workshop.build()
    assert workshop.documents.stored == {}
