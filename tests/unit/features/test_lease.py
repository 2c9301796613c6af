"""One holder at a time; silence gives a lease up, and the run that was under way is found."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from mlops.errors import Conflict
from mlops.objects import MemoryDocuments
from pipelines.features.lease import Leases, apply_leases
from tests.upsync_examples import at


@dataclass
class Wall:
    """A clock that moves when it is slept by."""

    now_: datetime = field(default_factory=lambda: at("2026-01-01"))

    def now(self) -> datetime:
        return self.now_

    def sleep(self, seconds: float) -> None:
        self.now_ += timedelta(seconds=seconds)


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def leases(wall: Wall) -> Leases:
    return Leases(MemoryDocuments(), clock=wall, sleep=wall.sleep, by_process=False)


def test_a_held_lease_is_refused_and_its_holder_named(leases: Leases) -> None:
    leases.take("spend", "first")
    with pytest.raises(Conflict, match="being loaded by first"):
        leases.take("spend", "second")


def test_another_view_has_a_lease_of_its_own(leases: Leases) -> None:
    leases.take("spend", "first")
    leases.take("risk", "second")


def test_a_lease_that_was_given_back_is_free(leases: Leases) -> None:
    leases.take("spend", "first").release()
    assert leases.take("spend", "second").run is None


def test_one_waits_for_a_holder_that_falls_silent(leases: Leases) -> None:
    leases.take("spend", "first").renew("run-1")
    assert leases.take("spend", "second", wait=61).run == "run-1"


def test_one_does_not_outwait_a_holder_that_speaks(leases: Leases, wall: Wall) -> None:
    held = leases.take("spend", "first")

    def sleep(seconds: float) -> None:
        wall.sleep(seconds)
        held.renew()

    patient = Leases(leases.documents, clock=wall, sleep=sleep, by_process=False)
    with pytest.raises(Conflict):
        patient.take("spend", "second", wait=100)


def test_a_lease_given_back_unfinished_tells_its_run(leases: Leases) -> None:
    held = leases.take("spend", "first")
    held.renew("run-1")
    held.release(unfinished=True)
    assert leases.take("spend", "second").run == "run-1"


def test_the_same_holder_goes_on_from_another_process(leases: Leases) -> None:
    leases.take("spend", "execution 7").renew("run-1")
    again = leases.take("spend", "execution 7")
    assert again.run == "run-1"
    again.renew()
    again.check()


def test_whoever_lost_it_is_told_when_it_renews(leases: Leases, wall: Wall) -> None:
    slow = leases.take("spend", "slow")
    wall.sleep(61)
    leases.take("spend", "quick")
    with pytest.raises(Conflict, match="belongs to quick now"):
        slow.renew()


def test_nothing_is_begun_shortly_before_it_runs_out(leases: Leases, wall: Wall) -> None:
    held = leases.take("spend", "first")
    wall.sleep(40)
    held.check()
    wall.sleep(10)
    with pytest.raises(Conflict, match="ran out"):
        held.check()


def test_a_process_of_this_machine_that_is_gone_holds_nothing(wall: Wall) -> None:
    documents = MemoryDocuments()
    leases = Leases(documents, clock=wall, sleep=wall.sleep)
    leases.take("spend", "first")
    with pytest.raises(Conflict):
        leases.take("spend", "second")
    gone = documents.get("feast/upsync/spend/lease.json").body.decode()
    import os

    pid = f'"pid":{os.getpid()}'
    assert pid in gone
    documents.put("feast/upsync/spend/lease.json", gone.replace(pid, '"pid":99999999').encode())
    leases.take("spend", "second")


def test_only_one_applies_at_a_time() -> None:
    leases = apply_leases(MemoryDocuments())
    first = leases.take("mlops-dev", "one")
    with pytest.raises(Conflict, match="Project 'mlops-dev' is being applied to by one"):
        leases.take("mlops-dev", "two")
    first.release()
    leases.take("mlops-dev", "two")
