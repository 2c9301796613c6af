"""Runs query executions on worker threads, and stops them."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import duckdb

from infra.local.athena import explain, hive_parser, trino_parser
from infra.local.athena.ddl import Definitions
from infra.local.athena.engine import Engine
from infra.local.athena.errors import (
    SYSTEM,
    QueryCancelled,
    QueryFailed,
    from_duckdb,
    unsupported,
)
from infra.local.athena.executions import Execution, Executions, column_infos
from infra.local.athena.parameters import filled
from infra.local.athena.prepared import PreparedStatements, as_query_failure
from infra.local.athena.queries import Planner
from infra.local.athena.results import ResultColumn, result_columns, write_csv
from infra.local.athena.statements import (
    CreateTableAs,
    Deallocate,
    Execute,
    Explain,
    Insert,
    Prepare,
    Select,
    Statement,
    Unload,
)
from infra.local.athena.storage import Storage
from infra.local.athena.task import Outcome, Task
from infra.local.athena.types import VARCHAR
from infra.local.athena.writes import Writer
from infra.local.service import AwsError

CONCURRENT = 8
PROMPT_SECONDS = 0.1
"""How long the start of a query waits for its end: clients look again after as long."""
_log = logging.getLogger(__name__)


def parse_statement(sql: str) -> Statement:
    """Hive's statements to Hive's parser, all others to Trino's, as Athena does."""
    return hive_parser.parse(sql) if hive_parser.is_hive(sql) else trino_parser.parse(sql)


@dataclass(frozen=True)
class Statements:
    """Runs a parsed statement, whatever it is."""

    planner: Planner
    writer: Writer
    definitions: Definitions
    prepared: PreparedStatements

    def resolved(self, statement: Statement, work_group: str) -> Statement:
        """What an EXECUTE stands for; any other statement itself."""
        if not isinstance(statement, Execute):
            return statement
        try:
            found = self.prepared.get(work_group, statement.name)
        except AwsError as exc:
            raise as_query_failure(exc) from exc
        return parse_statement(filled(found.query, statement.parameters))

    def run(self, statement: Statement, task: Task) -> Outcome:
        if isinstance(statement, Select):
            return self._select(statement, task)
        if isinstance(statement, CreateTableAs):
            return self.writer.create_table_as(statement, task)
        if isinstance(statement, Insert):
            return self.writer.insert(statement, task)
        if isinstance(statement, Unload):
            return self.writer.unload(statement, task)
        if isinstance(statement, Explain):
            return self._explain(statement, task)
        if isinstance(statement, Prepare | Deallocate):
            return self._prepare(statement, task)
        return self.definitions.run(statement, task)

    def _select(self, statement: Select, task: Task) -> Outcome:
        planned = self.planner.plan(statement.query, task.database)
        sql = self.planner.bind(planned, task)
        path = task.folder / "result.csv"
        write_csv(task.connection, sql, planned.fields, path)
        columns = result_columns(planned.fields)
        return Outcome("csv", f"{task.output}{task.id}.csv", columns, file=path)

    def _prepare(self, statement: Prepare | Deallocate, task: Task) -> Outcome:
        try:
            if isinstance(statement, Prepare):
                _check_preparable(statement)
                self.prepared.create(task.work_group, statement.name, statement.query)
            else:
                self.prepared.delete(task.work_group, statement.name)
        except AwsError as exc:
            raise as_query_failure(exc) from exc
        return Outcome("text", f"{task.output}{task.id}.txt")

    def _explain(self, statement: Explain, task: Task) -> Outcome:
        """Nothing is read but the catalog; TYPE VALIDATE only says whether it would run."""
        explain.check_options(statement.form, statement.plan)
        inner = parse_statement(statement.inner)
        if not isinstance(inner, Select | CreateTableAs | Insert | Unload):
            raise unsupported(f"EXPLAIN {inner.substatement}")
        planned = self.planner.plan(inner.query, task.database)
        where = f"{task.output}{task.id}.txt"
        if statement.plan == "VALIDATE":
            return Outcome("text", where, [ResultColumn("Valid", VARCHAR)], ["true"])
        scans = [
            explain.scan(leaf, self.planner.scanner.partitions(leaf, task.connection))
            for leaf in planned.leaves
        ]
        plan = explain.output(planned.fields, scans)
        if not isinstance(inner, Select):
            plan = explain.PlanNode("TableWriter", f"[{inner.substatement}]", children=(plan,))
        lines = ["Query Plan", *explain.render(plan, statement.form)]
        return Outcome("text", where, [ResultColumn("Query Plan", VARCHAR)], lines)


def _check_preparable(statement: Prepare) -> None:
    inner = parse_statement(statement.query)
    if not isinstance(inner, Select | CreateTableAs | Insert | Unload):
        raise QueryFailed(
            "NOT_SUPPORTED",
            f"Invalid statement type for prepared statement: {inner.substatement}. "
            "SELECT, INSERT INTO, CREATE TABLE AS and UNLOAD can be prepared",
        )


class Runner:
    """Worker threads that take executions from QUEUED to a final state."""

    def __init__(
        self, executions: Executions, engine: Engine, storage: Storage, statements: Statements
    ) -> None:
        self._executions = executions
        self._engine = engine
        self._storage = storage
        self._statements = statements
        self._pool = ThreadPoolExecutor(CONCURRENT, thread_name_prefix="athena")
        self._connections: dict[str, duckdb.DuckDBPyConnection] = {}
        self._lock = threading.Lock()

    def submit(self, execution: Execution, sql: str, cutoff: int | None) -> None:
        """Begin it, and wait a moment for its end: who looks at once need not look again.

        sql: the query with its parameters put in.
        """
        wait([self._pool.submit(self._run, execution, sql, cutoff)], PROMPT_SECONDS)

    def stop(self, id_: str) -> None:
        """Cancel it, wherever it is; a finished one stays as it is."""
        self._executions.finish(id_, "CANCELLED", reason="Query cancelled by user")
        with self._lock:
            connection = self._connections.get(id_)
            if connection is not None:
                connection.interrupt()

    def close(self) -> None:
        for id_ in self._executions.running():
            self.stop(id_)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, execution: Execution, sql: str, cutoff: int | None) -> None:
        if not self._executions.start(execution.id):
            return
        folder = Path(tempfile.mkdtemp(prefix="athena-"))
        try:
            outcome = self._execute(execution, sql, cutoff, folder)
            self._publish(execution, outcome)
        except QueryCancelled as exc:
            self._executions.finish(execution.id, "CANCELLED", reason=str(exc))
        except QueryFailed as exc:
            self._fail(execution, exc)
        except duckdb.Error as exc:
            self._fail(execution, from_duckdb(exc))
        except Exception as exc:  # noqa: BLE001 - a worker's failure is the query's
            _log.exception("query %s", execution.id)
            self._fail(execution, QueryFailed("GENERIC_INTERNAL_ERROR", repr(exc), category=SYSTEM))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _fail(self, execution: Execution, failed: QueryFailed) -> None:
        self._executions.finish(
            execution.id, "FAILED", reason=failed.reason, error=failed.athena_error()
        )

    def _execute(self, execution: Execution, sql: str, cutoff: int | None, folder: Path) -> Outcome:
        statement = self._statements.resolved(parse_statement(sql), execution.work_group)
        self._executions.note(
            execution.id, kind=statement.kind, substatement=statement.substatement
        )
        began = time.monotonic()

        def scanned(size: int) -> None:
            planning = int((time.monotonic() - began) * 1000)
            self._executions.note(execution.id, scanned=size, planning=planning)
            if cutoff is not None and size > cutoff:
                raise QueryCancelled("Bytes scanned limit was exceeded")
            if self._stopped(execution):
                raise QueryCancelled("Query cancelled by user")

        with self._engine.connection() as connection:
            with self._lock:
                self._connections[execution.id] = connection
            try:
                task = Task(
                    execution.id,
                    execution.work_group,
                    execution.database,
                    execution.output,
                    connection,
                    folder,
                    scanned,
                )
                return self._statements.run(statement, task)
            finally:
                with self._lock:
                    del self._connections[execution.id]

    def _stopped(self, execution: Execution) -> bool:
        found = self._executions.get(execution.id)
        return found is not None and found.state == "CANCELLED"

    def _publish(self, execution: Execution, outcome: Outcome) -> None:
        if self._stopped(execution):
            return
        if outcome.form == "csv" and outcome.file is not None:
            self._storage.upload_file(outcome.file, outcome.output_location)
        if outcome.form == "text":
            lines = "".join(f"{line}\n" for line in outcome.lines)
            self._storage.write(outcome.output_location, lines.encode())
        self._executions.finish(
            execution.id,
            "SUCCEEDED",
            output_location=outcome.output_location,
            columns=column_infos(outcome.columns),
            form=outcome.form,
            update_count=outcome.update_count,
            manifest=outcome.manifest,
        )
