"""MLflow's own webhooks, from its server to the rollout: what it tells is what was changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import pytest

from infra.lambdas.deploy_model import ModelDeployer, react, read_event
from infra.lambdas.receive_webhook import respond
from mlops.bus import MemoryBus
from mlops.clock import FixedClock, SystemClock
from mlops.deployment import load_deployment
from mlops.errors import MlopsError
from mlops.notices import MemoryNotices
from mlops.objects import MemoryDocuments
from mlops.registry.approval import Approvals, Ask
from mlops.registry.delivery import SOURCE, STATUS, detail_of
from mlops.registry.memory import MemoryRecords
from mlops.registry.mlflow import ALIAS, APPROVAL, MlflowRegistry
from mlops.registry.mlflow_rest import MlflowServer
from mlops.registry.versions import ModelVersion
from mlops.registry.webhooks.desk import WebhookDesk
from mlops.registry.webhooks.receiver import Receiver
from mlops.registry.webhooks.registration import webhook_of
from tests.approvals import APPROVER, NAMES, NOW, metadata_of, model_version, upload_model
from tests.local_aws import eventually
from tests.mlflow_webhooks import KEY, balancer

_NUMBERS = count()
Heard = tuple[Any, ...]


@dataclass
class Place:
    """A real MLflow whose webhook is received here, over a record and buckets in memory."""

    server: MlflowServer
    url: str
    bus: MemoryBus
    model: str
    documents: MemoryDocuments = field(default_factory=MemoryDocuments)
    records: MemoryRecords = field(default_factory=MemoryRecords)
    notices: MemoryNotices = field(default_factory=MemoryNotices)

    @property
    def registry(self) -> MlflowRegistry:
        return MlflowRegistry(self.server, NAMES)

    def desk(self, key: str = KEY) -> WebhookDesk:
        return WebhookDesk(self.server, webhook_of(NAMES, self.url, key))

    def register(self, number: int) -> ModelVersion:
        written = upload_model(self.documents, number, model=self.model)
        return self.registry.register(
            self.model, metadata_of(model_version(number, model=self.model, **written))
        )

    def approve(self, number: int) -> None:
        desk = Approvals(
            self.registry, self.records, self.documents, self.documents, NAMES, FixedClock(NOW)
        )
        desk.decide(Ask(self.model, number, "approve", "better than before", APPROVER))

    def by_hand(self, path: str, method: str = "post", **body: str) -> None:
        place = {"name": NAMES.model_group(self.model), **body}
        getattr(self.server, method)(path, place)

    @property
    def heard(self) -> set[Heard]:
        """Version and fields of what the bus was told of this model."""
        group = NAMES.model_group(self.model)
        return {
            (detail.get("ModelPackageVersion"), *detail["UpdatedModelPackageFields"])
            for _, _, detail in self.bus.told
            if detail["ModelPackageGroupName"] == group
        }

    def wait_for(self, *heard: Heard) -> None:
        eventually(lambda: self.heard >= set(heard), what=f"{heard}")

    def roll_out(self, times: int = 1) -> list[str]:
        """Hand everything that the bus was told to the rollout; what it did."""
        deployer = ModelDeployer(
            self.registry, self.records, self.documents, self.notices, FixedClock(NOW)
        )
        changes = [read_event({"source": s, "detail": d}, NAMES) for s, _, d in self.bus.told]
        own = [change for change in changes if change and change.model == self.model]
        return [str(react(deployer, change)["action"]) for change in own * times]


@pytest.fixture
def place(mlflow_server: MlflowServer) -> Iterator[Place]:
    bus = MemoryBus()
    receiver = Receiver(NAMES, lambda: KEY, MemoryDocuments(), bus, SystemClock())
    with balancer(partial(respond, receiver)) as url:
        place = Place(mlflow_server, url, bus, f"hooked-{next(_NUMBERS)}")
        place.desk().keep(dry_run=False)
        yield place
        place.desk().remove(dry_run=False)


def test_the_webhook_is_registered_once_tried_out_and_follows_its_secret(place: Place) -> None:
    again = place.desk().keep(dry_run=False)
    assert (again["steps"], again["answered"]) == ([], 200)
    with pytest.raises(MlopsError, match=r"did not take an example: 401 .*not signed"):
        place.desk("another key").keep(dry_run=False)
    assert place.desk().keep(dry_run=True)["steps"] == ["update description"]
    assert place.desk().keep(dry_run=False)["answered"] == 200


def test_an_approval_is_rolled_out_once_though_it_is_told_by_mlflow_and_by_the_command(
    place: Place,
) -> None:
    place.register(1)
    place.approve(1)
    place.wait_for((1, STATUS), (None, "Alias"))
    place.bus.put(SOURCE, "", [detail_of(NAMES, place.model, 1, fields=[STATUS])])
    assert place.roll_out(times=3).count("deployed") == 1
    found = load_deployment(place.documents, place.model)[0]
    assert (found.revision, found.stable and found.stable.version) == (1, 1)
    assert len(place.notices.told) == 1


@pytest.mark.parametrize(
    ("change", "heard", "found"),
    [
        (
            lambda place: place.by_hand(
                "model-versions/set-tag", version="2", key=APPROVAL, value='{"status": "Approved"}'
            ),
            (2, STATUS),
            "version 2: the registry says Approved, the record holds no decision",
        ),
        (
            lambda place: place.by_hand(
                "model-versions/set-tag", version="1", key=APPROVAL, value='{"status": "Rejected"}'
            ),
            (1, STATUS),
            "version 1: entry 1 says Approved, the registry says Rejected",
        ),
        (
            lambda place: place.by_hand(
                "model-versions/set-tag", version="2", key=APPROVAL, value="Approved"
            ),
            (2, STATUS),
            f"its tag {APPROVAL} was changed around the platform",
        ),
        (
            lambda place: place.by_hand(
                "model-versions/set-tag", version="1", key="manifest_sha256", value="b" * 64
            ),
            (1, "CustomerMetadataProperties"),
            "version 1: it points to other files than those that entry 1 decided on",
        ),
        (
            lambda place: place.by_hand("registered-models/alias", alias=ALIAS, version="2"),
            (None, "Alias"),
            "the alias of the approved names version 2, the record version 1",
        ),
        (
            lambda place: place.by_hand("registered-models/alias", "delete", alias=ALIAS),
            (None, "Alias"),
            "the alias of the approved names no version, the record version 1",
        ),
    ],
    ids=["approved", "undone", "unreadable", "other files", "alias moved", "alias removed"],
)
def test_what_somebody_changes_in_mlflow_is_told_and_deploys_nothing(
    place: Place, change: Callable[[Place], None], heard: Heard, found: str
) -> None:
    place.register(1)
    place.approve(1)
    place.wait_for((1, STATUS), (None, "Alias"))
    place.register(2)
    place.wait_for((2, STATUS))
    place.roll_out()
    before = load_deployment(place.documents, place.model)[0]
    place.bus.told.clear()

    change(place)

    place.wait_for(heard)
    place.roll_out(times=2)
    [told] = [facts for _, facts in place.notices.told if facts.get("event") == "bypassed"]
    assert found in told["why"][0]
    assert load_deployment(place.documents, place.model)[0] == before


def test_a_version_that_is_made_with_its_approval_in_it_is_told(place: Place) -> None:
    place.by_hand("registered-models/create")
    tags = [{"key": APPROVAL, "value": '{"status": "Approved"}'}]
    body = {"name": NAMES.model_group(place.model), "source": "s3://elsewhere/files/", "tags": tags}
    place.server.post("model-versions/create", body)
    place.wait_for((1, STATUS))
    assert place.roll_out() == ["bypassed"]
