"""Athena's API: what the router hands to the local Athena."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import boto3
from botocore.config import Config

from infra.local.athena import prepared
from infra.local.athena.catalog import CATALOG, Catalog
from infra.local.athena.ddl import Definitions
from infra.local.athena.engine import Engine, EngineSettings
from infra.local.athena.errors import QueryFailed
from infra.local.athena.executions import Execution, Executions
from infra.local.athena.footers import Footers
from infra.local.athena.metadata import Answer, Metadata, Request, page
from infra.local.athena.parameters import with_parameters
from infra.local.athena.prepared import MAX_QUERY_BYTES, PreparedStatements
from infra.local.athena.queries import Planner
from infra.local.athena.results import Page, read_csv_page, read_text_page
from infra.local.athena.runner import Runner, Statements
from infra.local.athena.scan import Scanner
from infra.local.athena.storage import Storage, folder
from infra.local.athena.workgroups import WorkGroup, WorkGroups
from infra.local.athena.writes import Writer
from infra.local.service import AwsError, Caller

_MAX_RESULTS = 1000
_CLIENT = Config(
    retries={"mode": "standard", "max_attempts": 3},
    s3={"addressing_style": "path"},
    max_pool_connections=64,
    connect_timeout=5,
    read_timeout=60,
)


def _engine_settings() -> EngineSettings:
    return EngineSettings(
        threads=int(os.environ.get("MLOPS_LOCAL_ATHENA_THREADS", "0")),
        memory=os.environ.get("MLOPS_LOCAL_ATHENA_MEMORY", "2GB"),
    )


class Athena:
    """Athena over DuckDB: tables from Glue, data in S3, both through the endpoint."""

    def __init__(self, endpoint: str, state: Path, account: str, region: str) -> None:
        clients = {
            name: boto3.client(
                name,
                endpoint_url=endpoint,
                region_name=region,
                aws_access_key_id=account,
                aws_secret_access_key="local",  # noqa: S106 - signatures are not verified locally
                config=_CLIENT,
            )
            for name in ("s3", "glue")
        }
        self._workgroups = WorkGroups(account, region)
        self._catalog = Catalog(clients["glue"])
        self._metadata = Metadata(self._catalog)
        self._storage = Storage(clients["s3"])
        self._executions = Executions(state / "athena" / "executions")
        self._prepared = PreparedStatements(state / "athena" / "prepared.json")
        self._engine = Engine(
            endpoint, region, account, state / "athena" / "scratch", _engine_settings()
        )
        planner = Planner(self._catalog, Scanner(self._catalog, self._storage, Footers()))
        statements = Statements(
            planner,
            Writer(self._catalog, self._storage, planner),
            Definitions(self._catalog, self._storage, planner),
            self._prepared,
        )
        self._runner = Runner(self._executions, self._engine, self._storage, statements)

    def handle(self, operation: str, request: Request, caller: Caller) -> Answer:
        """Answer one operation, by its AWS name. Raises AwsError."""
        handler = _OPERATIONS.get(operation)
        if handler is None:
            raise AwsError(
                "NotImplemented", f"The local Athena does not answer {operation}.", status=501
            )
        return handler(self, request)

    def close(self) -> None:
        """Cancel what runs."""
        self._runner.close()
        self._engine.close()

    # Executions

    def _start(self, request: Request) -> Answer:
        sql = str(request.get("QueryString", ""))
        group = self._workgroups.get(request.get("WorkGroup") or "primary")
        _check_query(sql, group)
        context = request.get("QueryExecutionContext") or {}
        parameters = [str(value) for value in request.get("ExecutionParameters") or ()]
        execution = Execution(
            id=str(uuid.uuid4()),
            query=sql,
            work_group=group.name,
            database=str(context.get("Database") or "default").lower(),
            catalog=str(context.get("Catalog") or CATALOG).lower(),
            output=folder(_output(request, group)),
            parameters=parameters,
            submitted=time.time(),
            token=request.get("ClientRequestToken"),
        )
        written = with_parameters(sql, parameters)
        known = self._executions.add(execution)
        if known is execution:
            self._runner.submit(execution, written, group.cutoff)
        return {"QueryExecutionId": known.id}

    def _execution(self, request: Request) -> Execution:
        id_ = str(request.get("QueryExecutionId", ""))
        found = self._executions.get(id_)
        if found is None:
            raise AwsError("InvalidRequestException", f"QueryExecution {id_} was not found")
        return found

    def _get(self, request: Request) -> Answer:
        return {"QueryExecution": self._execution(request).describe()}

    def _batch_get(self, request: Request) -> Answer:
        found, missing = [], []
        for id_ in request.get("QueryExecutionIds", ()):
            execution = self._executions.get(id_)
            if execution is None:
                missing.append({"QueryExecutionId": id_, "ErrorCode": "INVALID_INPUT"})
            else:
                found.append(execution.describe())
        return {"QueryExecutions": found, "UnprocessedQueryExecutionIds": missing}

    def _list(self, request: Request) -> Answer:
        group = self._workgroups.get(request.get("WorkGroup") or "primary")
        ids = [execution.id for execution in self._executions.newest(group.name)]
        return page("QueryExecutionIds", ids, request, 50)

    def _stop(self, request: Request) -> Answer:
        self._runner.stop(self._execution(request).id)
        return {}

    def _results(self, request: Request) -> Answer:
        execution = self._execution(request)
        if execution.state != "SUCCEEDED":
            raise AwsError(
                "InvalidRequestException",
                f"Query has not yet finished. Current state: {execution.state}"
                if execution.state in {"QUEUED", "RUNNING"}
                else f"Query did not finish successfully. Final query state: {execution.state}",
            )
        limit = int(request.get("MaxResults") or _MAX_RESULTS)
        if not 1 <= limit <= _MAX_RESULTS:
            raise AwsError(
                "InvalidRequestException",
                f"MaxResults is more than maximum allowed length {_MAX_RESULTS}.",
            )
        page = self._page_of(execution, request.get("NextToken"), limit)
        answer: Answer = {
            "ResultSet": {
                "Rows": [{"Data": [_datum(cell) for cell in row]} for row in page.rows],
                "ResultSetMetadata": {"ColumnInfo": execution.columns},
            },
        }
        if execution.form != "text":
            answer["UpdateCount"] = execution.update_count or 0
        return answer | ({"NextToken": page.next_token} if page.next_token else {})

    def _page_of(self, execution: Execution, token: str | None, limit: int) -> Page:
        try:
            if execution.form == "csv":
                return read_csv_page(self._storage, execution.output_location, token, limit)
            if execution.form == "text":
                return read_text_page(self._storage, execution.output_location, token, limit)
        except QueryFailed as exc:
            raise AwsError("InvalidRequestException", exc.reason) from exc
        except self._storage.missing as exc:
            raise AwsError(
                "InvalidRequestException",
                f"Could not find results at {execution.output_location}",
            ) from exc
        return Page([], None)

    def _statistics(self, request: Request) -> Answer:
        execution = self._execution(request)
        found = execution.statistics()
        timeline = {key: value for key, value in found.items() if key.endswith("InMillis")}
        rows = {"InputBytes": execution.scanned}
        return {"QueryRuntimeStatistics": {"Timeline": timeline, "Rows": rows}}

    # Workgroups

    def _create_group(self, request: Request) -> Answer:
        self._workgroups.create(
            str(request.get("Name") or ""),
            str(request.get("Description") or ""),
            request.get("Configuration") or {},
        )
        return {}

    def _get_group(self, request: Request) -> Answer:
        return {"WorkGroup": self._workgroups.entry(str(request.get("WorkGroup")))}

    def _list_groups(self, request: Request) -> Answer:
        entries = [
            {key: entry[key] for key in ("Name", "State", "Description", "CreationTime")}
            for entry in self._workgroups.all()
        ]
        return page("WorkGroups", entries, request, 50)

    def _update_group(self, request: Request) -> Answer:
        self._workgroups.update(
            str(request.get("WorkGroup")),
            description=request.get("Description"),
            state=request.get("State"),
            updates=request.get("ConfigurationUpdates") or {},
        )
        return {}

    def _delete_group(self, request: Request) -> Answer:
        self._workgroups.delete(str(request.get("WorkGroup")))
        self._prepared.forget(str(request.get("WorkGroup")))
        return {}

    # Prepared statements

    def _prepare(self, request: Request) -> Answer:
        self._workgroups.entry(str(request.get("WorkGroup")))
        return prepared.create(self._prepared, request)

    def _prepare_again(self, request: Request) -> Answer:
        return prepared.update(self._prepared, request)

    def _get_prepared(self, request: Request) -> Answer:
        group, name = str(request.get("WorkGroup")), str(request.get("StatementName"))
        return {"PreparedStatement": self._prepared.get(group, name).describe()}

    def _get_many_prepared(self, request: Request) -> Answer:
        names = [str(name) for name in request.get("PreparedStatementNames") or ()]
        return prepared.get_many(self._prepared, str(request.get("WorkGroup")), names)

    def _list_prepared(self, request: Request) -> Answer:
        group = self._workgroups.entry(str(request.get("WorkGroup")))["Name"]
        found = [one.describe() for one in self._prepared.of(group)]
        keys = ("StatementName", "LastModifiedTime")
        entries = [{key: one[key] for key in keys} for one in found]
        return page("PreparedStatements", entries, request, 50)

    def _delete_prepared(self, request: Request) -> Answer:
        self._prepared.delete(str(request.get("WorkGroup")), str(request.get("StatementName")))
        return {}


def _check_query(sql: str, group: WorkGroup) -> None:
    if not group.enabled:
        raise AwsError("InvalidRequestException", f"WorkGroup {group.name} is disabled.")
    if not sql.strip():
        raise AwsError("InvalidRequestException", "QueryString must not be empty")
    if len(sql.encode()) > MAX_QUERY_BYTES:
        raise AwsError(
            "InvalidRequestException",
            "1 validation error detected: Value at 'queryString' failed to satisfy constraint: "
            f"Member must have length less than or equal to {MAX_QUERY_BYTES}",
        )
    if group.enforced and re.search(r"\bexternal_location\s*=", sql, re.IGNORECASE):
        raise AwsError(
            "InvalidRequestException",
            "The Create Table As Select query failed because it was submitted with an "
            "'external_location' property to an Athena Workgroup that enforces a centralized "
            "output location for all queries. Please remove the 'external_location' property "
            "and resubmit the query.",
        )


def _output(request: Request, group: WorkGroup) -> str:
    """Where results go: the workgroup decides when it enforces its settings."""
    given = str((request.get("ResultConfiguration") or {}).get("OutputLocation") or "")
    output = group.output_location if group.enforced else given or group.output_location
    if not output:
        raise AwsError(
            "InvalidRequestException",
            "No output location provided. An output location is required either through the "
            "Workgroup result configuration setting or as an API input.",
        )
    return output


def _datum(cell: str | None) -> dict[str, str]:
    return {} if cell is None else {"VarCharValue": cell}


_OPERATIONS: dict[str, Callable[[Athena, Request], Answer]] = {
    "StartQueryExecution": Athena._start,
    "GetQueryExecution": Athena._get,
    "BatchGetQueryExecution": Athena._batch_get,
    "ListQueryExecutions": Athena._list,
    "StopQueryExecution": Athena._stop,
    "GetQueryResults": Athena._results,
    "GetQueryRuntimeStatistics": Athena._statistics,
    "CreateWorkGroup": Athena._create_group,
    "GetWorkGroup": Athena._get_group,
    "ListWorkGroups": Athena._list_groups,
    "UpdateWorkGroup": Athena._update_group,
    "DeleteWorkGroup": Athena._delete_group,
    "CreatePreparedStatement": Athena._prepare,
    "UpdatePreparedStatement": Athena._prepare_again,
    "GetPreparedStatement": Athena._get_prepared,
    "BatchGetPreparedStatement": Athena._get_many_prepared,
    "ListPreparedStatements": Athena._list_prepared,
    "DeletePreparedStatement": Athena._delete_prepared,
    "ListDataCatalogs": lambda athena, request: athena._metadata.list_catalogs(request),
    "GetDataCatalog": lambda athena, request: athena._metadata.get_catalog(request),
    "ListDatabases": lambda athena, request: athena._metadata.list_databases(request),
    "GetDatabase": lambda athena, request: athena._metadata.get_database(request),
    "GetTableMetadata": lambda athena, request: athena._metadata.get_table(request),
    "ListTableMetadata": lambda athena, request: athena._metadata.list_tables(request),
}
