"""`python -m tests.benchmarks.feature_server FOLDER PORT`: our proxy over Redis, and parts of it.

The proxy is whole (ids, limits, keys, metrics, a log line for each request); only its documents and
keys are in FOLDER. `/bare` and its like answer the same reads with one part of that after another,
so that the price of each can be told.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from starlette.types import ASGIApp

from mlops.clock import SystemClock
from mlops.plan import FeaturePlan
from mlops.stores.online import PlainRows
from mlops.stores.redis.async_link import open_async_link
from mlops.stores.redis.reading import RedisFeatures
from mlops.stores.redis.target import parse_target
from serving.logs import configure_logging
from serving.proxy.app import create_app
from serving.proxy.doorkeeper import Doorkeeper, presented
from serving.proxy.entity_columns import EntityRows, parse_read
from serving.proxy.feature_answers import OPTIONS, Shown
from serving.proxy.feature_services import FeatureServices, ReadableService
from serving.proxy.keys import FileKeys
from serving.proxy.metrics import ProxyMetrics
from serving.proxy.outgoing import Outgoing
from serving.proxy.timed_link import TimedLink
from serving.server import bind, run
from serving.shortcuts import Exchange, Shortcut, Way
from tests.feature_proxy import build_dependencies

STAGES = ("bare", "validated", "with-statuses", "with-keys")
"""The parts, one more with each; after them comes the proxy itself."""
_PATH = re.compile(r"/(" + "|".join(STAGES) + ")")
_NOTHING = Shown(statuses=False, event_times=False)


class Stages:
    """The shortcut of `/bare` and its like; the rest it leaves to the proxy's."""

    def __init__(self, proxy: Shortcut, services: FeatureServices, doorkeeper: Doorkeeper) -> None:
        self._proxy, self._services, self._doorkeeper = proxy, services, doorkeeper
        self._outgoing = Outgoing()

    def way(self, scope: Any) -> Way | None:
        found = _PATH.fullmatch(scope["path"])
        if found is None:
            return self._proxy.way(scope)
        number = STAGES.index(found[1])
        return _Stage(self._services, self._doorkeeper, self._outgoing, scope, number)


@dataclass(frozen=True)
class _Stage:
    """Answers as far as this stage goes."""

    services: FeatureServices
    doorkeeper: Doorkeeper
    outgoing: Outgoing
    scope: Any
    stage: int

    def take(self, exchange: Exchange) -> bool:
        stage, service = self.stage, self.services.get("bench")
        if stage >= STAGES.index("with-keys"):
            caller = self.doorkeeper.recognize(*presented(self.scope))
            caller.require_service("bench")
            self.doorkeeper.count(caller)
        if stage == 0:
            rows = EntityRows(orjson.loads(exchange.body)["entities"], 0, {})
        else:
            rows = service.entities.check(parse_read(exchange.body, most=1000).columns)
        tell = partial(self._finish, exchange, service, rows)
        return service.reader.start(rows.columns, tell, now=SystemClock().now())

    def _finish(
        self,
        exchange: Exchange,
        service: ReadableService,
        rows: EntityRows,
        answers: Any,
        error: Exception | None,
    ) -> None:
        assert error is None
        found = service.reader.finish(answers, rows.columns, now=SystemClock().now())
        assert isinstance(found, PlainRows)
        body = _write(self.stage, service, found)
        lines = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
        self.outgoing.add(partial(exchange.write, 200, lines, body), len(body))


def _write(stage: int, service: ReadableService, found: PlainRows) -> bytes:
    if stage > 0:
        shown = _NOTHING if stage == 1 else Shown()
        return service.answers.write("bench", found, shown, identity="bench")
    names = [reference for read in found.reads for reference in read.references()]
    return orjson.dumps(dict(zip(names, found.values, strict=True)), option=OPTIONS)


def build_app(folder: Path) -> tuple[ASGIApp, Shortcut]:
    plan = FeaturePlan.model_validate_json((folder / "plan.json").read_bytes())
    link, metrics = open_async_link(parse_target((folder / "redis").read_text())), ProxyMetrics()
    store, keys = RedisFeatures(TimedLink(link, metrics)), FileKeys(folder / "keys.json")
    dependencies = build_dependencies(store, [plan], keys, SystemClock(), metrics=metrics)
    proxy = create_app(dependencies)
    return proxy, Stages(proxy, dependencies.services, dependencies.doorkeeper)


def main(folder: Path, port: int) -> None:
    configure_logging("INFO")
    app, shortcut = build_app(folder)
    listener = bind("127.0.0.1", port, setting="PORT")
    run(app, listener, drain_seconds=1, shortcut=shortcut)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
