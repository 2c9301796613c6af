"""Requests of one turn are read for together, and each gets what it would have got alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops.clock import FixedClock
from mlops.errors import Unavailable
from mlops.objects import MemoryDocuments
from mlops.plan import FeaturePlan
from mlops.stores.online import (
    FeatureRow,
    MemoryOnlineStore,
    OnlineReader,
    Tell,
    ViewTable,
)
from serving.errors import FeaturesUnavailable
from serving.proxy.features import assemble, to_tensors
from serving.proxy.instances import Instance
from serving.proxy.joined_features import Found, JoinedFeatures
from serving.proxy.plain_features import FoundRows
from serving.proxy.served import ServedModel, build_served_model
from tests.serving_examples import (
    INSTANCE,
    NOW,
    build_manifest,
    build_plan,
    onnx_model,
    publish,
    write_repo,
)


@dataclass
class Reader:
    """Says when a table is plain, as the reader of Redis does, and keeps what is asked."""

    reader: OnlineReader
    asked: list[list[str]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    poison: str | None = None
    """A customer for whom reading fails as nothing should."""

    async def read(self, rows: Sequence[Mapping[str, Any]], *, now: datetime) -> list[FeatureRow]:
        return await self.reader.read(rows, now=now)

    async def read_columns(
        self, entities: Mapping[str, Sequence[Any]], *, now: datetime
    ) -> list[ViewTable]:
        self.asked.append(list(entities["customer_id"]))
        await self.gate.wait()
        if self.poison in entities["customer_id"]:
            raise ValueError(self.poison)
        tables = await self.reader.read_columns(entities, now=now)
        return [replace(table, is_plain=_is_plain(table)) for table in tables]

    def start(self, entities: Mapping[str, Sequence[Any]], tell: Tell, *, now: datetime) -> bool:
        """It waits at a gate, and so has nothing to begin."""
        return False

    def finish(self, answers: Any, entities: Mapping[str, Sequence[Any]], *, now: datetime) -> None:
        """Nothing was begun."""


def _is_plain(table: ViewTable) -> bool:
    return not table.exceptions and set(table.statuses) == {"PRESENT"}


@dataclass
class Place:
    model: ServedModel
    reader: Reader
    joined: JoinedFeatures = field(default_factory=lambda: JoinedFeatures(FixedClock(NOW)))

    def instances(self, *customers: str) -> list[Instance]:
        sent = [INSTANCE | {"customer_id": customer} for customer in customers]
        return [self.model.schema.parse(one, place) for place, one in enumerate(sent)]

    def ask(self, *customers: str) -> asyncio.Future[Found]:
        return self.joined.read(self.model, self.instances(*customers))

    async def alone(self, *customers: str) -> Any:
        """What the careful way makes of it."""
        instances = self.instances(*customers)
        columns = {
            name: [instance.entities[name] for instance in instances]
            for name in self.model.entity_names
        }
        tables = await self.reader.reader.read_columns(columns, now=NOW)
        rows = FoundRows(tables, len(instances))
        return shown(assemble(self.model, instances, rows))


def shown(assembled: Sequence[Any]) -> list[Any]:
    return [
        (dict(one.features), one.defaulted, one.vector, one.error and str(one.error))
        for one in assembled
    ]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    repo = write_repo(tmp_path)
    plan: FeaturePlan = build_plan(repo)
    graph = onnx_model()
    manifest = build_manifest(plan, graph)
    version = publish(MemoryDocuments(), manifest, graph, version=1)
    store = MemoryOnlineStore()
    for number in range(4):
        values = {"payments": number, "mean_amount": 10.0 + number}
        store.put("spend", (f"c{number}",), NOW, values)
    store.put("risk", (INSTANCE["terminal_id"],), NOW, {"risk": 0.25})
    made = build_served_model("fraud", version, manifest, plan, store=store, repo=repo)
    reader = Reader(made.reader)
    reader.gate.set()
    return Place(replace(made, reader=reader), reader)


async def test_requests_of_one_turn_are_one_read(place: Place) -> None:
    await asyncio.gather(place.ask("c0"), place.ask("c1", "c2"), place.ask("c0"))
    assert place.reader.asked == [["c0", "c1", "c2", "c0"]]


async def test_a_request_that_is_alone_does_not_wait_for_others(place: Place) -> None:
    asked = place.ask("c0")
    await asyncio.sleep(0)
    assert place.reader.asked == [["c0"]]
    await asked


async def test_who_comes_while_others_are_read_for_is_not_kept_waiting(place: Place) -> None:
    place.reader.gate.clear()
    first = place.ask("c0")
    await asyncio.sleep(0)
    second = place.ask("c1")
    await asyncio.sleep(0)
    assert place.reader.asked == [["c0"], ["c1"]]
    place.reader.gate.set()
    await asyncio.gather(first, second)


@pytest.mark.parametrize("others", [("c1", "c2"), ("c1", "nobody"), ("nobody",)])
async def test_each_gets_what_it_would_have_got_alone(
    place: Place, others: tuple[str, ...]
) -> None:
    asked = [("c3",), others, ("c0", "c3")]
    found = await asyncio.gather(*(place.ask(*one) for one in asked))
    assert [shown(one.assemble()) for one in found] == [await place.alone(*one) for one in asked]
    assert len(place.reader.asked) == 1


@pytest.mark.parametrize("other", ["c1", "nobody"])
async def test_each_has_its_own_rows(place: Place, other: str) -> None:
    one, two = await asyncio.gather(place.ask("c3"), place.ask(other, "c0"))
    assert [row["spend:payments"].value for row in one.rows] == [3]
    expected = 1 if other == "c1" else None
    assert [row["spend:payments"].value for row in two.rows] == [expected, 0]


@pytest.mark.parametrize("other", ["c1", "nobody"])
async def test_the_models_input_is_of_ones_own_rows(place: Place, other: str) -> None:
    _, two = await asyncio.gather(place.ask(other), place.ask("c2", "c3"))
    assembled = two.assemble()
    (own,) = two.tensors(assembled).values()
    (expected,) = to_tensors(place.model.manifest, assembled).values()
    np.testing.assert_array_equal(own, expected)
    assert own.shape[0] == 2


async def test_a_store_that_is_down_fails_all(place: Place) -> None:
    assert isinstance(place.model.reader, Reader)
    place.model.reader.reader.store.down = Unavailable("gone")  # type: ignore[attr-defined]
    found = await asyncio.gather(place.ask("c0"), place.ask("c1"), return_exceptions=True)
    assert [type(one) for one in found] == [FeaturesUnavailable] * 2


async def test_what_cannot_be_read_for_one_is_no_others_failure(place: Place) -> None:
    place.reader.poison = "c1"
    good, bad = await asyncio.gather(place.ask("c0"), place.ask("c1"), return_exceptions=True)
    assert isinstance(good, Found)
    assert isinstance(bad, ValueError)


async def test_one_that_leaves_takes_nobody_along(place: Place) -> None:
    place.reader.gate.clear()
    gone, stays = place.ask("c0"), place.ask("c1")
    await asyncio.sleep(0)
    gone.cancel()
    place.reader.gate.set()
    assert len((await stays).assemble()) == 1


async def test_at_the_end_nobody_is_left_waiting(place: Place) -> None:
    place.reader.gate.clear()
    asked = place.ask("c0")
    await asyncio.sleep(0)
    await place.joined.close()
    assert asked.cancelled()


async def test_those_who_ask_at_the_very_end_are_not_left_waiting_either(place: Place) -> None:
    asked = place.ask("c0")
    await place.joined.close()
    assert asked.cancelled()
