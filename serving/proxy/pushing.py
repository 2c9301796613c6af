"""Pushing rows over HTTP: a thin shell round the pusher."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request, Response

from mlops.downsync.push import Pusher, RowResult
from mlops.errors import NotFound, Unavailable
from serving.answers import json_response
from serving.errors import FeaturesUnavailable, InvalidRequest, UnknownSource, describe
from serving.logs import request_id
from serving.proxy.bodies import parse_list
from serving.proxy.doorkeeper import Doorkeeper
from serving.proxy.metrics import ProxyMetrics
from serving.proxy.schema import CREDENTIALS, PUSH_ANSWERS, PUSH_BODY
from serving.proxy.settings import ProxySettings


def add_push(
    app: FastAPI,
    pusher: Pusher,
    doorkeeper: Doorkeeper,
    metrics: ProxyMetrics,
    settings: ProxySettings,
) -> None:
    """The route that writes rows of a push source."""

    @app.post(
        "/v1/push/{push_source}",
        tags=["features"],
        summary="Write rows of a push source to the online store",
        responses=PUSH_ANSWERS,
        openapi_extra=PUSH_BODY,
        dependencies=CREDENTIALS,
    )
    async def push(request: Request, push_source: str) -> Response:
        """Each row is answered for itself: written, or refused with its reason.

        A request with a single row that is refused answers with that error's status.
        """
        caller = await doorkeeper.admit_request(request.scope)
        caller.require_push(push_source)
        rows = parse_list(
            "rows",
            await request.body(),
            most=settings.max_instances,
            max_depth=settings.max_depth,
        )
        request.state.log |= {"push_source": push_source, "rows": len(rows)}
        results = await _push(pusher, push_source, rows, caller.name)
        for result in results:
            metrics.count_push(push_source, "refused" if result.problem else "written")
        return _answer(push_source, results)


def _answer(source: str, results: list[RowResult]) -> Response:
    """What became of each row. Raises the refusal of a row that is the only one."""
    if len(results) == 1 and results[0].problem:
        raise _refusal(results[0], 0)
    return json_response(
        {
            "request_id": request_id.get() or "",
            "push_source": source,
            "results": [_shown(result, n) for n, result in enumerate(results)],
        }
    )


async def _push(pusher: Pusher, source: str, rows: list[Any], caller: str) -> list[RowResult]:
    try:
        return await asyncio.to_thread(pusher.push, source, rows, caller=caller, wait_seconds=0)
    except NotFound as exc:
        raise UnknownSource(str(exc), field="push_source") from exc
    except Unavailable as exc:
        raise FeaturesUnavailable(
            "The rows cannot be written: the online store does not take them.",
            remedy="Push all of them again after a second; doing it twice does no harm.",
        ) from exc


def _shown(result: RowResult, index: int) -> dict[str, Any]:
    if result.problem:
        return {"status": "refused", "error": describe(_refusal(result, index))}
    return {"status": "written", "event_id": result.event_id, "logged": result.logged}


def _refusal(result: RowResult, index: int) -> InvalidRequest:
    where = f"rows[{index}].{result.where}" if result.where else f"rows[{index}]"
    return InvalidRequest(f"rows[{index}]: {result.problem}.", field=where)
