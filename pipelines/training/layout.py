"""Where a workflow's files lie in the artifact bucket: one place, used by all who read or write."""

from __future__ import annotations

SOURCE = "source.tar.gz"
DEFINITION = "definition.json"


def version_prefix(workflow: str, code_sha256: str) -> str:
    return f"workflows/{workflow}/{code_sha256}/"


def source_key(workflow: str, code_sha256: str) -> str:
    return version_prefix(workflow, code_sha256) + SOURCE


def definition_key(workflow: str, code_sha256: str) -> str:
    """Uploading here is what deploys: its event triggers the Lambda."""
    return version_prefix(workflow, code_sha256) + DEFINITION


def current_key(workflow: str) -> str:
    """What the Lambda recorded as deployed."""
    return f"workflows/{workflow}/current.json"


def run_prefix(workflow: str, execution: str) -> str:
    """The outputs of one execution's jobs."""
    return f"runs/{workflow}/{execution}/"


def trained_key(workflow: str, made_from: str) -> str:
    """Which run trained a model from exactly this."""
    return f"runs/{workflow}/.trained/{made_from}.json"


def turn_key(workflow: str) -> str:
    """Whose turn it is, where runs of a workflow do not overlap."""
    return f"runs/{workflow}/.turn.json"


def model_prefix(workflow: str, execution: str) -> str:
    """The files of the version that one execution registered."""
    return f"models/{workflow}/{execution}/"
