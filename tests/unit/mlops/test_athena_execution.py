"""Queries: polled soon and then less often, stopped when they must be, retried when they may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import Stubber

from mlops.aws import Aws
from mlops.errors import JobFailed, MlopsError, NotFound, Refused, Unavailable
from mlops.stores.athena.cost import read_tables
from mlops.stores.athena.execution import Executions, Limits
from mlops.stores.athena.results import unload
from mlops.stores.athena.staging import Run, Storage


@dataclass
class FakeAthena:
    """Answers each poll with the next state; the last one stays."""

    states: list[str] = field(default_factory=lambda: ["SUCCEEDED"])
    reason: str = ""
    retryable: bool = False
    scanned: int = 0
    interrupt: type[BaseException] | None = None
    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    def start_query_execution(self, QueryString: str, **_: Any) -> dict[str, str]:  # noqa: N803
        self.started.append(QueryString)
        return {"QueryExecutionId": f"q{len(self.started)}"}

    def get_query_execution(self, QueryExecutionId: str) -> dict[str, Any]:  # noqa: N803
        if self.interrupt is not None:
            raise self.interrupt
        state = self.states[0] if len(self.states) == 1 else self.states.pop(0)
        status: dict[str, Any] = {"State": state, "StateChangeReason": self.reason}
        status |= {"AthenaError": {"Retryable": self.retryable}}
        return {
            "QueryExecution": {
                "QueryExecutionId": QueryExecutionId,
                "Query": self.started[-1],
                "Status": status,
                "Statistics": {"DataScannedInBytes": self.scanned},
                "ResultConfiguration": {"OutputLocation": "s3://elsewhere/q1.csv"},
            }
        }

    def stop_query_execution(self, QueryExecutionId: str) -> None:  # noqa: N803
        self.stopped.append(QueryExecutionId)


class FakeAws(Aws):
    """One client, whatever the service."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def client(self, service: str) -> Any:
        return self._client


@dataclass
class Time:
    """A clock that moves when somebody sleeps."""

    seconds: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    def now(self) -> float:
        return self.seconds


def executions(client: Any, time: Time | None = None, **limits: Any) -> Executions:
    time = time or Time()
    return Executions(
        FakeAws(client),
        workgroup="w",
        catalog="",
        database="d",
        limits=Limits(**limits),
        sleep=time.sleep,
        now=time.now,
    )


def run(client: Any, time: Time | None = None, **limits: Any) -> Any:
    return executions(client, time, **limits).run("SELECT 1", output="s3://b/")


def test_polling_begins_after_a_tenth_of_a_second_and_ends_at_one() -> None:
    time = Time()
    run(FakeAthena(["RUNNING"] * 40 + ["SUCCEEDED"]), time)
    assert time.slept[0] == 0.1
    assert max(time.slept) == time.slept[-1] == 1.0


def test_a_query_past_its_timeout_is_stopped_and_named() -> None:
    athena = FakeAthena(["RUNNING"])
    with pytest.raises(JobFailed, match=r"q1 ran past its limit of 5 s and was stopped\. Give a"):
        run(athena, timeout_seconds=5)
    assert athena.stopped == ["q1"]


def test_a_query_past_its_scan_limit_is_stopped_and_named() -> None:
    athena = FakeAthena(["RUNNING"], scanned=2_000)
    with pytest.raises(Refused, match="scanned 2,000 bytes, more than the limit of 1,000"):
        run(athena, scan_bytes=1_000)
    assert athena.stopped == ["q1"]


def test_an_interrupted_wait_stops_the_query() -> None:
    athena = FakeAthena(interrupt=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        run(athena)
    assert athena.stopped == ["q1"]


def test_a_failure_that_athena_calls_retryable_is_tried_again() -> None:
    athena = FakeAthena(["FAILED", "SUCCEEDED"], retryable=True)
    assert run(athena).id == "q2"


def test_what_a_failed_attempt_wrote_is_removed_before_the_next() -> None:
    athena = FakeAthena(["FAILED", "FAILED", "SUCCEEDED"], retryable=True)
    seen: list[int] = []
    executions(athena).run(
        "UNLOAD", output="s3://b/", before_retry=lambda: seen.append(len(athena.started))
    )
    assert seen == [1, 2]


def test_another_failure_is_told_with_its_reason_at_once() -> None:
    athena = FakeAthena(["FAILED"], reason="DIVISION_BY_ZERO: / by zero")
    with pytest.raises(JobFailed, match="DIVISION_BY_ZERO: / by zero In: SELECT 1"):
        run(athena)
    assert len(athena.started) == 1


def test_a_table_that_is_gone_is_not_found() -> None:
    athena = FakeAthena(["FAILED"], reason="TABLE_NOT_FOUND: line 1:1: Table 'x' does not exist")
    with pytest.raises(NotFound, match="Check the source's table"):
        run(athena)


def refused(code: str, message: str) -> Callable[..., Any]:
    def call(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": code, "Message": message}}, "StartQueryExecution")

    return call


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("ExpiredTokenException", Refused, "Check the role that you act as"),
        ("TooManyRequestsException", Unavailable, "Starting an Athena query in workgroup 'w'"),
    ],
)
def test_expired_credentials_and_throttling_are_told_apart(
    code: str, error: type[MlopsError], words: str
) -> None:
    athena = FakeAthena()
    athena.start_query_execution = refused(code, "no")  # type: ignore[method-assign]  # a fault
    with pytest.raises(error, match=words):
        run(athena)


def test_a_throttled_call_is_made_again() -> None:
    session = boto3.Session(
        aws_access_key_id="x", aws_secret_access_key="x", region_name="ap-northeast-2"
    )
    client = Aws(session).client("athena")
    answers = [
        (400, b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'),
        (200, b'{"QueryExecutionId": "q1"}'),
    ]

    def answer(request: Any, **_: Any) -> AWSResponse:
        status, body = answers.pop(0)
        raw = SimpleNamespace(stream=lambda **_: iter([body]))
        return AWSResponse(request.url, status, {}, raw)

    client.meta.events.register("before-send.athena.StartQueryExecution", answer)
    started = executions(client)._start("SELECT 1", "s3://b/")
    assert (started, answers) == ("q1", [])


@pytest.fixture
def scratch() -> Iterator[Run]:
    client = boto3.client(
        "s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    with Stubber(client):
        yield Run(Storage(FakeAws(client)), client, "d", "s3://b/p/", "id")


def test_where_unload_is_forbidden_a_table_is_made(scratch: Run) -> None:
    athena = FakeAthena()
    athena.start_query_execution = refused(  # type: ignore[method-assign]  # a fault
        "InvalidRequestException", "The workgroup enforces a centralized output location."
    )
    with pytest.raises(MlopsError, match="centralized output location"):
        unload(executions(athena), scratch, "SELECT 1", way="unload")
    tried: list[str] = []

    def start(QueryString: str, **_: Any) -> dict[str, str]:  # noqa: N803
        tried.append(QueryString.split(maxsplit=1)[0])
        return refused("InvalidRequestException", "a centralized output location")()  # type: ignore[no-any-return]  # raises

    athena.start_query_execution = start  # type: ignore[method-assign]  # a fault
    with pytest.raises(MlopsError):
        unload(executions(athena), scratch, "SELECT 1")
    assert tried == ["UNLOAD", "CREATE"]


def test_results_outside_of_the_run_are_noted_for_removal(scratch: Run) -> None:
    done = run(FakeAthena())
    scratch.note(done.outputs)
    scratch.note([f"{scratch.prefix}own"])
    assert scratch.outputs == ["s3://elsewhere/q1.csv", "s3://elsewhere/q1.csv.metadata"]


def test_the_price_is_by_terabyte_with_ten_megabytes_at_least() -> None:
    limits = Limits(price_per_terabyte=5.0)
    assert limits.price(10**12) == 5.0
    assert limits.price(1) == limits.price(10_000_000) == 5e-05


@pytest.mark.parametrize(
    "plan",
    [
        "TableScan[awsdatacatalog.db.t]",
        "- TableScan[table = awsdatacatalog:db:t, grouped = false]",
        "TableScan[awsdatacatalog:HiveTableHandle{schemaName=db, tableName=t, x=y}]",
    ],
)
def test_a_plan_says_which_tables_it_reads(plan: str) -> None:
    assert read_tables(f"Fragment 0\n  {plan}\n  {plan}") == [("db", "t")]


def test_an_endpoint_that_does_not_answer_is_unavailable() -> None:
    athena = FakeAthena()

    def start(**_: Any) -> dict[str, str]:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    athena.start_query_execution = start  # type: ignore[method-assign, assignment]  # a fault
    with pytest.raises(Unavailable, match="mlops local status"):
        run(athena)
