from __future__ import annotations

from typing import Any

import pytest

from mlops.errors import Unavailable
from mlops.objects import MemoryDocuments
from pipelines.training.compiler import Bundle, Compiled
from pipelines.training.deploy import WorkflowDeployment
from tests.unit.training import examples

_COMPILED = Compiled(
    {"workflow": "fraud", "definition": {"StartAt": "A", "States": {}}}, Bundle(b"code")
)


class _Order(MemoryDocuments):
    """Remembers in which order it was written."""

    def put(self, key: str, body: bytes, *, etag: str | None = None) -> Any:
        self.__dict__.setdefault("order", []).append(key.rpartition("/")[2])
        return super().put(key, body, etag=etag)


def _deployment(documents: MemoryDocuments) -> WorkflowDeployment:
    unused: Any = None
    return WorkflowDeployment(unused, examples.settings().names, documents)


def test_the_code_is_there_before_the_definition_that_deploys_it() -> None:
    documents = _Order()

    _deployment(documents).upload(_COMPILED)

    assert documents.__dict__["order"] == ["source.tar.gz", "definition.json"]
    assert documents.stored[f"workflows/fraud/{_COMPILED.code_sha256}/source.tar.gz"] == b"code"


def test_a_lambda_that_does_not_act_is_named_with_its_log() -> None:
    waited: list[float] = []

    with pytest.raises(Unavailable, match="/aws/lambda/mlops-dev-workflow-deployer"):
        _deployment(MemoryDocuments()).wait(
            _COMPILED, timeout_seconds=0, poll_seconds=0.25, sleep=waited.append
        )


def test_nothing_is_deployed_at_first() -> None:
    assert _deployment(MemoryDocuments()).deployed("fraud") is None
