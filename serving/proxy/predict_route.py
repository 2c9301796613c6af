"""POST /v1/models/{model}:predict as plain ASGI: the route that a payment waits for."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.answers import error_body
from serving.deadline import TIMEOUT_KEY, read_timeout
from serving.errors import InvalidRequest, MethodNotAllowed, describe
from serving.logs import request_id
from serving.plain import Body, PlainRoute, answer, header, read_body
from serving.proxy.bodies import parse_instances
from serving.proxy.doorkeeper import Doorkeeper
from serving.proxy.predict import Predictions, Predictor, describe_features
from serving.proxy.schema import PREDICT
from serving.proxy.settings import ProxySettings
from serving.proxy.work import Prediction
from serving.scores import describe_told

_PATH = re.compile(r"/v1/models/([^/]+):predict")
_ROUTE = PlainRoute(PREDICT)
_WRITE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z


class PredictRoute:
    """Answers predictions itself and leaves all other requests to the app."""

    def __init__(
        self, app: ASGIApp, predictor: Predictor, doorkeeper: Doorkeeper, settings: ProxySettings
    ) -> None:
        self.app = app
        self._predictor, self._doorkeeper, self._settings = predictor, doorkeeper, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (found := _PATH.fullmatch(scope["path"])):
            scope["route"] = _ROUTE
            await answer(self._predict(scope, receive, found[1]), send, shape=error_body)
        else:
            await self.app(scope, receive, send)

    async def _predict(self, scope: Scope, receive: Receive, model: str) -> Body:
        if scope["method"] != "POST":
            raise MethodNotAllowed("POST")
        since = time.monotonic()
        caller = await self._doorkeeper.admit_request(scope)
        caller.require_model(model)
        explain = wants_explanation(scope["query_string"])
        if explain:
            caller.require_pii(self._predictor.catalog.personal(model))
        timeout_ms = read_timeout(header(scope, TIMEOUT_KEY))
        instances = parse_instances(
            await read_body(receive),
            max_instances=self._settings.max_instances,
            max_depth=self._settings.max_depth,
        )
        identity = request_id.get() or ""
        found = await self._predictor.predict(
            model, instances, request_id=identity, timeout_ms=timeout_ms, since=since
        )
        log: dict[str, Any] = scope["state"]["log"]
        log.update(model=model, version=found.version, instances=len(instances), use=found.use)
        return orjson.dumps(_body(found, identity, explain=explain), option=_WRITE), {}


def wants_explanation(query: bytes) -> bool:
    """Whether features are to be shown. Raises InvalidRequest for another value of `explain`."""
    if not query:
        return False
    wanted = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("explain")
    if wanted and wanted[-1] != "features":
        raise InvalidRequest(
            "'explain' can only be 'features'.", field="query.explain", remedy="Leave it out."
        )
    return wanted is not None


def _body(found: Predictions, identity: str, *, explain: bool) -> dict[str, Any]:
    experiment = {"experiment": found.experiment, "arm": found.arm} if found.arm else {}
    return {
        "request_id": identity,
        "model": found.endpoint,
        "version": found.version,
        **experiment,
        "predictions": [_item(item, explain=explain) for item in found.items],
    }


def _item(item: Prediction, *, explain: bool) -> dict[str, Any]:
    features = describe_features(item, explain=explain)
    if item.error:
        return {"error": describe(item.error)} | ({"features": features} if features else {})
    if item.fallback:
        return {"score": item.score, "fallback": item.fallback, "features": features}
    if item.classes:
        return describe_told(item.classes) | {"features": features}
    return {"score": item.score, "features": features}
