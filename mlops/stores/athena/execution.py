"""Running Athena queries: polled from 100 ms on, retried if Athena says so, stopped if asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlops.aws import Aws, translated
from mlops.errors import JobFailed, NotFound, Refused

_FIRST_POLL = 0.1
_LONGEST_POLL = 1.0
_SLOWER = 1.1
_RETRIES = 2
_SHOWN = 300
_TERABYTE = 10**12
_LEAST_BILLED = 10_000_000
"""Athena bills each query's scan, 10 MB at least."""


@dataclass(frozen=True)
class Limits:
    """What one query may take. None is without limit."""

    timeout_seconds: float | None = None
    scan_bytes: int | None = None
    price_per_terabyte: float = 5.0

    def price(self, scanned: int, queries: int = 1) -> float:
        """Estimated US dollars: Athena's price per TB, at least 10 MB a query."""
        billed = max(scanned, _LEAST_BILLED * queries) if queries else 0
        return billed / _TERABYTE * self.price_per_terabyte


@dataclass(frozen=True)
class Finished:
    """A query that succeeded."""

    id: str
    scanned: int
    milliseconds: int
    outputs: tuple[str, ...]
    """What it left in S3 besides what its SQL names: results and manifests."""


class Executions:
    """One workgroup and database, as one identity."""

    def __init__(
        self,
        aws: Aws,
        *,
        workgroup: str,
        catalog: str,
        database: str,
        limits: Limits | None = None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._athena = aws.client("athena")
        self._workgroup = workgroup
        self._context = {"Catalog": catalog or "AwsDataCatalog", "Database": database}
        self.limits = limits or Limits()
        self._sleep = sleep
        self._now = now

    def run(
        self,
        sql: str,
        *,
        output: str,
        timeout: float | None = None,
        before_retry: Callable[[], None] | None = None,
    ) -> Finished:
        """Execute and wait.

        output: where results go if the workgroup does not decide. timeout: seconds; the query is
        stopped when it passes, when its scan passes the limit, and when this process is
        interrupted. before_retry: removes what a failed attempt has written.
        Raises JobFailed with Athena's reason, NotFound for a table or column that is gone.
        """
        seconds = self.limits.timeout_seconds if timeout is None else timeout
        deadline = None if seconds is None else self._now() + seconds
        for attempt in range(_RETRIES + 1):
            execution = self._finish(self._start(sql, output), deadline, seconds)
            if execution["Status"]["State"] == "SUCCEEDED":
                return _finished(execution)
            if not _retryable(execution) or attempt == _RETRIES:
                break
            self._sleep(2.0**attempt)
            if before_retry is not None:
                before_retry()
        raise _failure(execution)

    def columns(self, sql: str, *, output: str) -> tuple[dict[str, str], Finished]:
        """The names and types of a query's columns; nothing is scanned."""
        done = self.run(f"SELECT * FROM (\n{sql}\n) LIMIT 0", output=output)  # noqa: S608  # theirs
        with translated(f"Reading the columns of query {done.id}"):
            answer = self._athena.get_query_results(QueryExecutionId=done.id, MaxResults=1)
        found = answer["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
        return {column["Name"]: _type(column) for column in found}, done

    def first_row(self, sql: str, *, output: str) -> tuple[list[str | None], Finished]:
        """The first row of a small result, as Athena writes its values."""
        done = self.run(sql, output=output)
        with translated(f"Reading the result of query {done.id}"):
            answer = self._athena.get_query_results(QueryExecutionId=done.id, MaxResults=2)
        rows = answer["ResultSet"]["Rows"]
        return [cell.get("VarCharValue") for cell in rows[1]["Data"]], done

    def explain(self, sql: str, *, output: str) -> str:
        """Athena's plan. Raises JobFailed when the query would not run."""
        done = self.run(f"EXPLAIN {sql}", output=output)
        with translated(f"Reading the plan {done.id}"):
            answer = self._athena.get_query_results(QueryExecutionId=done.id)
        rows = answer["ResultSet"]["Rows"]
        return "\n".join(str(row["Data"][0].get("VarCharValue", "")) for row in rows)

    def _start(self, sql: str, output: str) -> str:
        with translated(f"Starting an Athena query in workgroup '{self._workgroup}'"):
            answer = self._athena.start_query_execution(
                QueryString=sql,
                QueryExecutionContext=self._context,
                ResultConfiguration={"OutputLocation": output},
                WorkGroup=self._workgroup,
            )
        return str(answer["QueryExecutionId"])

    def _finish(self, id_: str, deadline: float | None, seconds: float | None) -> dict[str, Any]:
        """Wait for a final state; whatever ends the waiting early also ends the query."""
        wait = _FIRST_POLL
        finished = False
        try:
            while True:
                execution = self._get(id_)
                if execution["Status"]["State"] in {"SUCCEEDED", "FAILED", "CANCELLED"}:
                    finished = True
                    return execution
                self._check(execution, deadline, seconds)
                self._sleep(wait)
                wait = min(wait * _SLOWER, _LONGEST_POLL)
        finally:
            if not finished:
                self._stop(id_)

    def _get(self, id_: str) -> dict[str, Any]:
        with translated(f"Asking for Athena query {id_}"):
            answer = self._athena.get_query_execution(QueryExecutionId=id_)
        return dict(answer["QueryExecution"])

    def _check(
        self, execution: dict[str, Any], deadline: float | None, seconds: float | None
    ) -> None:
        if deadline is not None and self._now() > deadline:
            raise JobFailed(
                f"Athena query {execution['QueryExecutionId']} ran past its limit of {seconds:g} s "
                "and was stopped. Give a longer timeout, or fewer entity rows or a shorter range."
            )
        limit, scanned = self.limits.scan_bytes, _scanned(execution)
        if limit is not None and scanned > limit:
            raise Refused(
                f"Athena query {execution['QueryExecutionId']} scanned {scanned:,} bytes, more "
                f"than the limit of {limit:,}, and was stopped. Raise max_scan_bytes in "
                "feature_store.yaml, or ask for fewer days or features."
            )

    def _stop(self, id_: str) -> None:
        with translated(f"Stopping Athena query {id_}"):
            self._athena.stop_query_execution(QueryExecutionId=id_)


def _finished(execution: dict[str, Any]) -> Finished:
    statistics = execution.get("Statistics", {})
    result = execution.get("ResultConfiguration", {}).get("OutputLocation")
    manifest = statistics.get("DataManifestLocation")
    outputs = [place for place in (result, manifest) if place]
    if result:
        outputs.append(f"{result}.metadata")
    return Finished(
        id=execution["QueryExecutionId"],
        scanned=_scanned(execution),
        milliseconds=int(statistics.get("TotalExecutionTimeInMillis", 0)),
        outputs=tuple(outputs),
    )


def _scanned(execution: dict[str, Any]) -> int:
    return int(execution.get("Statistics", {}).get("DataScannedInBytes") or 0)


def _retryable(execution: dict[str, Any]) -> bool:
    return bool(execution["Status"].get("AthenaError", {}).get("Retryable"))


def _failure(execution: dict[str, Any]) -> Exception:
    status = execution["Status"]
    reason = " ".join(str(status.get("StateChangeReason", "without a reason")).split())
    text = f"Athena query {execution['QueryExecutionId']} {status['State'].lower()}: {reason}"
    if "TABLE_NOT_FOUND" in reason or "SCHEMA_NOT_FOUND" in reason or "COLUMN_NOT_FOUND" in reason:
        return NotFound(
            f"{text}. Check the source's table and columns in feature_repo/, and that it was built "
            "('mlops features build')."
        )
    sql = " ".join(str(execution.get("Query", "")).split())
    return JobFailed(f"{text} In: {sql[:_SHOWN]}{'…' if len(sql) > _SHOWN else ''}")


def _type(column: dict[str, Any]) -> str:
    kind = str(column["Type"]).lower()
    if kind == "decimal":
        return f"decimal({column.get('Precision', 38)},{column.get('Scale', 0)})"
    return kind
