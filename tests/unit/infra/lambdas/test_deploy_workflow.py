"""An uploaded definition becomes a state machine: once, the newest, and only if it fits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

import pytest

from infra.lambdas.deploy_workflow import Upload, WorkflowDeployer, read_event
from infra.lambdas.state_machines import MemoryStateMachines, Wanted
from mlops.clock import FixedClock
from mlops.errors import Conflict, MlopsError
from mlops.names import Role
from mlops.objects import Document, MemoryDocuments
from tests.approvals import BUCKET, NAMES, NOW, SUBMITTER

MACHINE = NAMES.state_machine_arn("fraud")
START = datetime(2018, 8, 1, tzinfo=UTC)


def _record(
    key: str, *, at: str = "2018-08-01T00:00:00.000Z", bucket: str = BUCKET
) -> dict[str, Any]:
    return {
        "eventTime": at,
        "s3": {"bucket": {"name": bucket}, "object": {"key": quote_plus(key)}},
    }


KEY = f"workflows/fraud/{'a' * 64}/definition.json"


def test_an_event_names_each_definition_once_oldest_first() -> None:
    later = f"workflows/fraud/{'b' * 64}/definition.json"
    records = [_record(later, at="2018-08-02T00:00:00.000Z"), _record(KEY), _record(KEY)]
    assert [u.key for u in read_event({"Records": records}, BUCKET)] == [KEY, later]


def test_a_key_is_decoded() -> None:
    record = _record(KEY)
    record["s3"]["object"]["key"] = KEY.replace("/", "%2F")
    assert read_event({"Records": [record]}, BUCKET)[0].code_sha256 == "a" * 64


def test_the_test_event_of_s3_names_nothing() -> None:
    assert read_event({"Service": "Amazon S3", "Event": "s3:TestEvent"}, BUCKET) == []


@pytest.mark.parametrize(
    "record",
    [
        _record("workflows/fraud/current.json"),
        _record(f"workflows/fraud/{'a' * 64}/source.tar.gz"),
        _record(f"elsewhere/workflows/fraud/{'a' * 64}/definition.json"),
        _record(KEY, bucket="another-bucket"),
    ],
)
def test_other_objects_are_passed_over(record: dict[str, Any]) -> None:
    assert read_event({"Records": [record]}, BUCKET) == []


@dataclass
class Desk:
    """A deployer over fakes, and uploads for it."""

    documents: MemoryDocuments = field(default_factory=MemoryDocuments)
    machines: MemoryStateMachines = field(default_factory=MemoryStateMachines)

    def upload(self, code: bytes, *, minute: int = 0, **changes: Any) -> Upload:
        sha256 = hashlib.sha256(code).hexdigest()
        folder = f"workflows/fraud/{sha256}/"
        definition = {
            "workflow": "fraud",
            "state_machine": "mlops-local-fraud",
            "role_arn": NAMES.role_arn(Role.WORKFLOW),
            "code_sha256": sha256,
            "source": f"s3://{BUCKET}/{folder}source.tar.gz",
            "submitted_by": SUBMITTER,
            "definition": {"StartAt": "train", "States": {}, "Comment": sha256},
        }
        self.documents.put(f"{folder}source.tar.gz", code)
        body = json.dumps(definition | changes).encode()
        self.documents.put(f"{folder}definition.json", body)
        at = START + timedelta(minutes=minute)
        return Upload(f"{folder}definition.json", "fraud", sha256, at)

    @property
    def deployer(self) -> WorkflowDeployer:
        return WorkflowDeployer(NAMES, self.documents, self.machines, FixedClock(NOW))

    @property
    def current(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.documents.get("workflows/fraud/current.json").body)
        return found

    @property
    def running(self) -> str:
        """The code that the state machine runs."""
        return self.machines.stored[MACHINE].tags["code_sha256"]


def test_an_upload_creates_the_state_machine_and_notes_it() -> None:
    desk = Desk()
    upload = desk.upload(b"one")
    assert desk.deployer.deploy_all([upload])["deployed"][0]["action"] == "created"
    wanted = desk.machines.stored[MACHINE]
    assert json.loads(wanted.definition)["Comment"] == upload.code_sha256
    assert wanted.role_arn == NAMES.role_arn(Role.WORKFLOW)
    assert desk.current == {
        "workflow": "fraud",
        "state_machine_arn": MACHINE,
        "code_sha256": upload.code_sha256,
        "deployed_at": "2018-08-15T09:30:00Z",
        "submitted_by": SUBMITTER,
        "uploaded_at": "2018-08-01T00:00:00Z",
    }


def test_a_later_upload_updates_it() -> None:
    desk = Desk()
    desk.deployer.deploy(desk.upload(b"one"))
    later = desk.upload(b"two", minute=1)
    assert desk.deployer.deploy(later)["action"] == "updated"
    assert desk.current["code_sha256"] == desk.running == later.code_sha256


def test_a_duplicated_event_changes_nothing() -> None:
    desk = Desk()
    upload = desk.upload(b"one")
    desk.deployer.deploy(upload)
    before = dict(desk.documents.stored)
    assert desk.deployer.deploy(upload)["action"] == "unchanged"
    assert desk.documents.stored == before


def test_an_older_event_that_comes_late_does_not_bring_old_code_back() -> None:
    desk = Desk()
    older, newer = desk.upload(b"one"), desk.upload(b"two", minute=1)
    desk.deployer.deploy(newer)
    assert desk.deployer.deploy(older)["action"] == "outdated"
    assert desk.current["code_sha256"] == desk.running == newer.code_sha256


def test_old_code_comes_back_by_uploading_it_again() -> None:
    desk = Desk()
    for minute, code in enumerate([b"one", b"two", b"one"]):
        again = desk.upload(code, minute=minute)
        desk.deployer.deploy(again)
    assert desk.current["code_sha256"] == desk.running == again.code_sha256


def test_an_invocation_that_died_before_its_note_is_completed_by_the_next() -> None:
    desk = Desk()
    upload = desk.upload(b"one")
    desk.deployer.deploy(upload)
    desk.documents.delete("workflows/fraud/current.json")
    assert desk.deployer.deploy(upload)["action"] == "unchanged"
    assert desk.current["code_sha256"] == upload.code_sha256


@dataclass
class _RacedMachines(MemoryStateMachines):
    """Another invocation overtakes this one before its state machine is changed."""

    race: Callable[[], object] | None = None

    def ensure(self, wanted: Wanted) -> str:
        if self.race is not None:
            race, self.race = self.race, None
            race()
        return super().ensure(wanted)


@pytest.mark.parametrize("first_note", [True, False])
def test_an_older_invocation_that_is_overtaken_leaves_the_newer_code(first_note: bool) -> None:
    machines = _RacedMachines()
    desk = Desk(machines=machines)
    if first_note:
        desk.deployer.deploy(desk.upload(b"zero"))
    older, newer = desk.upload(b"one", minute=1), desk.upload(b"two", minute=2)
    machines.race = lambda: desk.deployer.deploy(newer)
    assert desk.deployer.deploy(older)["action"] == "outdated"
    assert desk.current["code_sha256"] == desk.running == newer.code_sha256


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"workflow": "loans"}, "workflow is 'loans'"),
        ({"state_machine": "payroll"}, "state_machine is 'payroll'"),
        ({"role_arn": "arn:aws:iam::000000000000:role/admin"}, "role_arn is"),
        ({"code_sha256": "f" * 64}, "code_sha256 is"),
        ({"source": "s3://elsewhere/source.tar.gz"}, "source is"),
        ({"definition": "text"}, "no workflow definition"),
    ],
)
def test_a_definition_that_does_not_fit_its_place_is_refused(
    changes: dict[str, Any], complaint: str
) -> None:
    desk = Desk()
    with pytest.raises(MlopsError, match=complaint):
        desk.deployer.deploy(desk.upload(b"one", **changes))
    assert desk.machines.stored == {}


def test_a_definition_whose_code_was_exchanged_is_refused() -> None:
    desk = Desk()
    upload = desk.upload(b"one")
    desk.documents.put(upload.key.replace("definition.json", "source.tar.gz"), b"two")
    with pytest.raises(MlopsError, match="not the code that its folder names"):
        desk.deployer.deploy(upload)


def test_a_definition_without_its_code_is_refused() -> None:
    desk = Desk()
    upload = desk.upload(b"one")
    desk.documents.delete(upload.key.replace("definition.json", "source.tar.gz"))
    with pytest.raises(MlopsError, match=r"source\.tar\.gz does not exist"):
        desk.deployer.deploy(upload)


def test_one_that_fails_does_not_keep_the_others_from_being_deployed() -> None:
    desk = Desk()
    bad, good = desk.upload(b"one", workflow="loans"), desk.upload(b"two", minute=1)
    with pytest.raises(MlopsError, match="1 of 2 not deployed"):
        desk.deployer.deploy_all([bad, good])
    assert desk.running == good.code_sha256


def test_a_note_that_others_always_win_is_given_up_with_a_conflict() -> None:
    class Restless(MemoryDocuments):
        def create(self, key: str, body: bytes) -> Document:
            raise Conflict(f"{key} exists already")

    desk = Desk(documents=Restless())
    with pytest.raises(MlopsError, match="deployed by others all the time"):
        desk.deployer.deploy(desk.upload(b"one"))
