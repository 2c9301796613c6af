"""Each delivery is told once, however often and in whatever order it comes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.bus import REGISTRY, MemoryBus
from mlops.clock import FixedClock
from mlops.errors import InputError, Unavailable
from mlops.objects import Document, MemoryDocuments
from mlops.registry.delivery import DETAIL_TYPE
from mlops.registry.webhooks.delivery import NotAuthentic
from mlops.registry.webhooks.receiver import Receiver
from tests.approvals import NAMES, NOW
from tests.mlflow_webhooks import KEY, body_of, headers_of

DECIDED = body_of("model_version_tag", "set", version="3", key="mlops_approval")


@dataclass
class _Broken(MemoryBus):
    """Takes nothing for as long as it is broken."""

    broken: bool = True

    def put(self, source: str, kind: str, details: Sequence[Mapping[str, Any]]) -> None:
        if self.broken:
            raise Unavailable("no bus")
        super().put(source, kind, details)


@dataclass
class Place:
    """A receiver with everything it stands on, in memory."""

    bus: MemoryBus = field(default_factory=MemoryBus)
    documents: MemoryDocuments = field(default_factory=MemoryDocuments)
    asked: int = 0

    def key(self) -> str:
        self.asked += 1
        return KEY

    @property
    def receiver(self) -> Receiver:
        return Receiver(NAMES, self.key, self.documents, self.bus, FixedClock(NOW))

    def receive(self, body: bytes, number: int = 1) -> str:
        return self.receiver.receive(headers_of(body, number=number), body)

    @property
    def told(self) -> list[int]:
        return [detail["ModelPackageVersion"] for _, _, detail in self.bus.told]


def test_a_decision_is_told_as_sagemaker_s_registry_tells_it() -> None:
    place = Place()
    assert place.receive(DECIDED) == "told"
    detail = {
        "ModelPackageGroupName": "mlops-local-fraud",
        "ModelPackageVersion": 3,
        "UpdatedModelPackageFields": ["ModelApprovalStatus"],
    }
    assert place.bus.told == [(REGISTRY, DETAIL_TYPE, detail)]


def test_what_is_nothing_of_ours_is_taken_and_leaves_no_trace() -> None:
    place = Place()
    assert place.receive(
        body_of("model_version", "created", model="x").replace(b"-local-", b"-")
    ) == ("ignored")
    assert (place.bus.told, place.documents.stored) == ([], {})


@given(st.lists(st.integers(1, 5), max_size=12), st.randoms(use_true_random=False))
def test_deliveries_in_any_order_and_number_are_told_once_each(
    versions: list[int], chance: random.Random
) -> None:
    place = Place()
    sent = [(number, version) for number, version in enumerate(versions)]
    again = [*sent, *chance.choices(sent, k=len(sent))] if sent else []
    chance.shuffle(again)
    for number, version in again:
        body = body_of("model_version_tag", "set", version=str(version), key="mlops_approval")
        place.receive(body, number)
    assert sorted(place.told) == sorted(versions)


def test_a_delivery_that_the_bus_did_not_take_is_told_when_it_comes_again() -> None:
    bus = _Broken()
    place = Place(bus=bus)
    with pytest.raises(Unavailable):
        place.receive(DECIDED)
    bus.broken = False
    assert (place.receive(DECIDED), place.receive(DECIDED)) == ("told", "known")
    assert place.told == [3]


def test_the_same_delivery_at_the_same_moment_is_known_to_one_of_two() -> None:
    @dataclass
    class Raced(MemoryDocuments):
        place: Place | None = None

        def create(self, key: str, body: bytes) -> Document:
            if self.place is not None:
                place, self.place = self.place, None
                assert place.receive(DECIDED) == "told"
            return super().create(key, body)

    documents = Raced()
    place = Place(documents=documents)
    documents.place = place
    assert place.receive(DECIDED) == "known"


@pytest.mark.parametrize("late", [timedelta(minutes=6), timedelta(minutes=-6)])
def test_a_replay_is_refused_before_the_secret_is_read(late: timedelta) -> None:
    place = Place()
    with pytest.raises(NotAuthentic):
        place.receiver.receive(headers_of(DECIDED, at=NOW - late), DECIDED)
    with pytest.raises(InputError):
        place.receiver.receive({}, DECIDED)
    assert (place.asked, place.told) == (0, [])


def test_a_forged_delivery_tells_nothing() -> None:
    place = Place()
    with pytest.raises(NotAuthentic):
        place.receiver.receive(headers_of(DECIDED, key="guessed"), DECIDED)
    assert (place.told, place.documents.stored) == ([], {})
