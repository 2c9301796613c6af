"""Every registry keeps the same promises: SageMaker's over the local AWS, MLflow's, the fake."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from mlops.aws import Aws
from mlops.clock import FixedClock
from mlops.errors import MlopsError, NotFound, Refused, Unavailable
from mlops.objects import MemoryDocuments
from mlops.registry.approval import Approvals, Ask, Outcome
from mlops.registry.dossier import read_dossier
from mlops.registry.history import audit, read_history
from mlops.registry.memory import MemoryRecords, MemoryRegistry
from mlops.registry.mlflow import ALIAS, APPROVAL, MlflowRegistry
from mlops.registry.mlflow_rest import MlflowServer
from mlops.registry.report import REPORT, render_report
from mlops.registry.sagemaker import SageMakerRegistry
from mlops.registry.scorecard import METADATA, SCORECARD, Scorecard
from mlops.registry.versions import ModelRegistry, ModelVersion, Status
from pipelines.training.container import Container
from pipelines.training.steps.register import register
from tests.approvals import (
    APPROVER,
    BUCKET,
    NAMES,
    NOW,
    SUBMITTER,
    metadata_of,
    model_version,
    register_package,
    scorecard,
    upload_model,
)
from tests.unit.training import examples

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

_NUMBERS = count()


class Register(Protocol):
    """Registers the next version of a model, as the workflow's last step does."""

    def __call__(self, model: str, **changes: Any) -> ModelVersion: ...


@pytest.fixture(params=["memory", "sagemaker", "mlflow"])
def desk(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[ModelRegistry, Register]:
    """A registry, and the way to register in it."""
    if request.param == "memory":
        return _in_memory()
    if request.param == "mlflow":
        return _in_mlflow(request.getfixturevalue("mlflow_server"))
    local: LocalAws = request.getfixturevalue("local_aws")
    for name, value in local.environment().items():
        monkeypatch.setenv(name, value)
    return _in_sagemaker(local)


@pytest.fixture
def model() -> str:
    """A name that no other test uses."""
    return f"contract-{next(_NUMBERS)}"


def _in_memory() -> tuple[ModelRegistry, Register]:
    registry = MemoryRegistry()

    def register(model: str, **changes: Any) -> ModelVersion:
        number = len(registry.versions(model)) + 1
        return registry.add(model_version(number, model=model, **changes))

    return registry, register


def _in_sagemaker(local: LocalAws) -> tuple[ModelRegistry, Register]:
    registry = SageMakerRegistry(Aws(), local.names)

    def register(model: str, **changes: Any) -> ModelVersion:
        number = len(registry.versions(model)) + 1
        wanted = model_version(number, model=model, **changes)
        register_package(local.client("sagemaker"), local.names, wanted)
        return registry.get(model, number)

    return registry, register


def _in_mlflow(server: MlflowServer) -> tuple[MlflowRegistry, Register]:
    registry = MlflowRegistry(server, NAMES)

    def register(model: str, **changes: Any) -> ModelVersion:
        number = len(registry.versions(model)) + 1
        return registry.register(model, metadata_of(model_version(number, model=model, **changes)))

    return registry, register


def test_a_new_version_waits_and_carries_its_metrics_and_lineage(
    desk: tuple[ModelRegistry, Register], model: str
) -> None:
    registry, register = desk
    register(model)
    found, wanted = registry.get(model, 1), model_version(1, model=model)
    assert found.status is Status.PENDING
    assert found.complete
    assert found.created.tzinfo is not None
    unstable = {"created", "package_arn"}
    assert found.model_dump(exclude=unstable) == wanted.model_dump(exclude=unstable)
    assert found.package_arn.endswith(f"{model}/1")


def test_versions_are_listed_newest_first_up_to_a_limit(
    desk: tuple[ModelRegistry, Register], model: str
) -> None:
    registry, register = desk
    registered = [register(model) for _ in range(3)]
    assert registry.versions(model) == registered[::-1]
    assert registry.versions(model, limit=2) == registered[:0:-1]


def test_a_model_without_versions_has_an_empty_list(
    desk: tuple[ModelRegistry, Register], model: str
) -> None:
    assert desk[0].versions(model) == []


def test_models_are_listed_by_their_short_names(
    desk: tuple[ModelRegistry, Register], model: str
) -> None:
    registry, register = desk
    register(model)
    assert model in registry.models()


def test_an_unknown_version_is_not_found_and_says_where_to_look(
    desk: tuple[ModelRegistry, Register], model: str
) -> None:
    registry, register = desk
    register(model)
    with pytest.raises(NotFound, match=f"no version 2.*mlops models list {model}"):
        registry.get(model, 2)


def test_changing_the_status_changes_nothing_but_the_status_and_its_note(
    desk: tuple[ModelRegistry, Register], model: str
) -> None:
    registry, register = desk
    before = register(model)
    register(model)
    registry.set_status(before, Status.APPROVED, note="good")
    changed = {"status": Status.APPROVED, "note": "good"}
    assert registry.get(model, 1) == before.model_copy(update=changed)
    registry.set_status(before, Status.REJECTED, note="no longer")
    assert registry.get(model, 1).status is Status.REJECTED
    assert registry.get(model, 2).status is Status.PENDING


@dataclass(frozen=True)
class Decided:
    """A registry with its own record and files, and a way to register whole versions."""

    registry: ModelRegistry
    register: Register
    documents: MemoryDocuments
    records: MemoryRecords

    @property
    def approvals(self) -> Approvals:
        data = MemoryDocuments()
        clock = FixedClock(NOW)
        return Approvals(self.registry, self.records, self.documents, data, NAMES, clock)

    def add(self, model: str, version: int, card: Scorecard | None = None) -> ModelVersion:
        """Register a version whose files are there, its page among them."""
        written = upload_model(self.documents, version, model=model)
        folder = f"models/{model}/run-{version}/"
        facts = {"execution": f"run-{version}", "report": f"s3://{BUCKET}/{folder}{REPORT}"}
        if card is not None:
            body = card.model_dump_json().encode()
            self.documents.put(folder + SCORECARD, body)
            facts[METADATA] = hashlib.sha256(body).hexdigest()
        return self.register(model, lineage=facts, **written)

    def decide(self, model: str, version: int, *, who: str = APPROVER) -> Outcome:
        return self.approvals.decide(Ask(model, version, "approve", "measured", who))


@pytest.fixture
def decided(desk: tuple[ModelRegistry, Register]) -> Decided:
    return Decided(*desk, MemoryDocuments(), MemoryRecords())


def test_the_page_beside_a_version_is_made_from_what_the_registry_holds(
    decided: Decided, model: str
) -> None:
    """What was written beside two versions is found through the registry alone, and compared."""
    decided.add(model, 1, scorecard())
    decided.add(model, 2, scorecard(rows="b", approved=(1, 0.8), auc=0.9))
    first, second = (
        read_dossier(decided.documents, BUCKET, decided.registry.get(model, number))
        for number in (1, 2)
    )

    page = render_report(second, first)

    assert (first.missing, second.missing) == ((), ())
    assert "On the same 100 test rows" in page
    assert "beside version 1" in page
    place = decided.registry.get(model, 2).lineage["report"]
    assert place == f"s3://{BUCKET}/models/{model}/run-2/{REPORT}"


def test_an_approval_is_on_record_before_it_is_in_the_registry_and_both_agree(
    decided: Decided, model: str
) -> None:
    decided.add(model, 1)
    outcome = decided.decide(model, 1)
    assert decided.records.entries(model) == [outcome.entry]
    assert decided.registry.get(model, 1).status is Status.APPROVED
    assert read_history(decided.registry, decided.records, model).holds


def test_who_submitted_a_version_does_not_approve_it(decided: Decided, model: str) -> None:
    decided.add(model, 1)
    with pytest.raises(Refused, match="Someone else has to decide"):
        decided.decide(model, 1, who=SUBMITTER)
    assert decided.registry.get(model, 1).status is Status.PENDING


@pytest.mark.parametrize("status", [Status.APPROVED, Status.REJECTED])
def test_a_status_that_was_set_around_the_record_is_found_by_the_audit(
    decided: Decided, model: str, status: Status
) -> None:
    decided.add(model, 1)
    decided.decide(model, 1)
    around = decided.add(model, 2)
    decided.registry.set_status(around, status, note="by hand")

    [found] = [one for one in audit(decided.registry, decided.records) if one.model == model]

    assert not found.holds
    assert found.problems == (
        f"version 2: the registry says {status}, the record holds no decision",
    )


def test_the_alias_of_mlflow_follows_the_newest_approved_version(
    mlflow_server: MlflowServer, model: str
) -> None:
    registry, register = _in_mlflow(mlflow_server)
    first, second = register(model), register(model)
    place = {"name": NAMES.model_group(model), "alias": ALIAS}

    def approved() -> str:
        found = mlflow_server.get("registered-models/alias", place)["model_version"]["version"]
        return str(found)

    registry.set_status(first, Status.APPROVED, note="good")
    assert approved() == "1"
    registry.set_status(second, Status.APPROVED, note="better")
    assert approved() == "2"
    registry.set_status(second, Status.REJECTED, note="worse")
    assert approved() == "1"
    registry.set_status(first, Status.REJECTED, note="worse")
    with pytest.raises(MlopsError, match=f"alias {ALIAS} not found"):
        approved()


def test_an_execution_is_registered_in_mlflow_once(mlflow_server: MlflowServer, model: str) -> None:
    registry, _ = _in_mlflow(mlflow_server)
    metadata = metadata_of(model_version(1, model=model))
    assert registry.register(model, metadata) == registry.register(model, metadata)
    assert len(registry.versions(model)) == 1


def test_the_register_job_of_a_workflow_names_the_version_that_it_made(
    mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = examples.settings(
        MLOPS_REGISTRY="mlflow", MLOPS_MLFLOW_TRACKING_URI=mlflow_server.url
    )
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    metadata = metadata_of(model_version(1))
    files = {"run/run.json": examples.run().model_dump_json()}
    files["registration/registration.json"] = json.dumps(metadata)
    container = Container(tmp_path)
    for name, text in files.items():
        path = container.input(name)
        path.parent.mkdir(parents=True)
        path.write_text(text)

    register(container)

    named = json.loads((container.output("package") / "package.json").read_text())
    (version,) = MlflowRegistry(mlflow_server, settings.names).versions("fraud")
    assert (version.package_arn, version.status) == (named, Status.PENDING)
    assert version.lineage["execution"] == metadata["execution"]


def test_a_tag_of_mlflow_that_was_changed_by_hand_is_named(
    mlflow_server: MlflowServer, model: str
) -> None:
    registry, register = _in_mlflow(mlflow_server)
    register(model)
    place = {"name": NAMES.model_group(model), "version": "1"}
    mlflow_server.post("model-versions/set-tag", place | {"key": APPROVAL, "value": "Approved"})
    with pytest.raises(Refused, match=f"Version 1 of '{model}': its tag {APPROVAL} was changed"):
        registry.get(model, 1)


def test_more_models_than_a_page_of_mlflow_are_all_listed(
    mlflow_server: MlflowServer, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.registry.mlflow._PAGE", 2)
    registry, register = _in_mlflow(mlflow_server)
    names = [f"{model}-{number}" for number in range(3)]
    for name in names:
        register(name)
    assert set(names) <= set(registry.models())


def test_an_mlflow_server_that_is_down_is_named() -> None:
    registry = MlflowRegistry(MlflowServer("http://127.0.0.1:9"), NAMES)
    with pytest.raises(Unavailable, match=r"Is the server at http://127\.0\.0\.1:9 up\?"):
        registry.models()
