"""`python -m tests.benchmarks.feature_server FOLDER PORT`: our proxy over Redis, and parts of it.

The proxy is whole (ids, limits, keys, metrics, a log line for each request); only its documents and
keys are in FOLDER. `/bare` and its like answer the same reads with one part of that after another,
so that the price of each can be told.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops.clock import SystemClock
from mlops.plan import FeaturePlan
from mlops.stores.redis.async_link import open_async_link
from mlops.stores.redis.reading import RedisFeatures
from mlops.stores.redis.target import parse_target
from serving.logs import configure_logging
from serving.plain import read_body, send_body
from serving.proxy.app import create_app
from serving.proxy.doorkeeper import Doorkeeper, presented
from serving.proxy.entity_columns import parse_read
from serving.proxy.feature_answers import OPTIONS, Shown, json_columns
from serving.proxy.feature_services import FeatureServices
from serving.proxy.keys import FileKeys
from serving.proxy.metrics import ProxyMetrics
from serving.proxy.timed_link import TimedLink
from serving.server import bind, run
from tests.feature_proxy import build_dependencies

STAGES = ("bare", "validated", "with-statuses", "with-keys")
"""The parts, one more with each; after them comes the proxy itself."""
_PATH = re.compile(r"/(" + "|".join(STAGES) + ")")
_NOTHING = Shown(statuses=False, event_times=False)


class Stages:
    """Answers `/bare` and its like, and leaves the rest to the proxy."""

    def __init__(self, app: ASGIApp, services: FeatureServices, doorkeeper: Doorkeeper) -> None:
        self.app = app
        self._services, self._doorkeeper = services, doorkeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self.app(scope, receive, send)
        else:
            await send_body(send, await self._answer(STAGES.index(found[1]), scope, receive))

    async def _answer(self, stage: int, scope: Scope, receive: Receive) -> bytes:
        if stage >= STAGES.index("with-keys"):
            (await self._doorkeeper.admit(*presented(scope))).require_service("bench")
        body, service = await read_body(receive), self._services.get("bench")
        if stage == 0:
            columns = orjson.loads(body)["entities"]
            tables = await service.reader.read_columns(columns, now=SystemClock().now())
            features: dict[str, Any] = {}
            for table in tables:
                features |= zip(table.read.references(), json_columns(table), strict=True)
            return orjson.dumps(features, option=OPTIONS)
        rows = service.entities.check(parse_read(body, most=1000).columns)
        tables = await service.reader.read_columns(rows.columns, now=SystemClock().now())
        return service.answers.write(
            "bench", tables, rows, _NOTHING if stage == 1 else Shown(), identity="bench"
        )


def build_app(folder: Path) -> ASGIApp:
    plan = FeaturePlan.model_validate_json((folder / "plan.json").read_bytes())
    link, metrics = open_async_link(parse_target((folder / "redis").read_text())), ProxyMetrics()
    store, keys = RedisFeatures(TimedLink(link, metrics)), FileKeys(folder / "keys.json")
    dependencies = build_dependencies(store, [plan], keys, SystemClock(), metrics=metrics)
    return Stages(create_app(dependencies), dependencies.services, dependencies.doorkeeper)


def main(folder: Path, port: int) -> None:
    configure_logging("INFO")
    run(build_app(folder), bind("127.0.0.1", port, setting="PORT"), drain_seconds=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
