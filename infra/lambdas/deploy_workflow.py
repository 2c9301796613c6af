"""Lambda: a definition that was uploaded to S3 becomes a state machine.

Invoked by S3 when 'workflows/<name>/<code sha256>/definition.json' is written. It creates or
updates exactly what was compiled, and never compiles anything itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict, ValidationError

from infra.lambdas.state_machines import StateMachines, StepFunctions, Wanted
from mlops.aws import Aws
from mlops.clock import Clock, parse_instant
from mlops.errors import Conflict, InputError, MlopsError, NotFound, Refused
from mlops.names import Names, Role
from mlops.objects import Document, Documents, S3Documents
from mlops.settings import load_settings

ATTEMPTS = 10
_KEY = re.compile(
    r"workflows/(?P<workflow>[a-z][a-z0-9-]*)/(?P<sha256>[0-9a-f]{64})/definition\.json"
)


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Deploy every definition that the event names, and say what was done with each.

    Raises after all were tried when one could not be deployed, so that the event is retried.
    """
    settings = load_settings()
    names, aws = settings.names, Aws(region=settings.region)
    deployer = WorkflowDeployer(
        names=names,
        documents=S3Documents(aws, names.artifact_bucket),
        state_machines=StepFunctions(aws),
        clock=settings.build_clock(),
    )
    return deployer.deploy_all(read_event(event, names.artifact_bucket))


@dataclass(frozen=True)
class Upload:
    """A definition that was written, and when (UTC)."""

    key: str
    workflow: str
    code_sha256: str
    at: datetime


class Definition(BaseModel):
    """What `mlops workflows deploy` uploads; `definition` is in the Amazon States Language."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    workflow: str
    state_machine: str
    role_arn: str
    code_sha256: str
    source: str
    submitted_by: str
    definition: Mapping[str, Any]


class Current(BaseModel):
    """'workflows/<name>/current.json': which code the state machine runs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    workflow: str
    state_machine_arn: str
    code_sha256: str
    deployed_at: datetime
    submitted_by: str
    uploaded_at: datetime
    """When its definition was written; an older upload does not replace it."""


def read_event(event: Mapping[str, Any], bucket: str) -> list[Upload]:
    """The definitions in our bucket that an S3 event names, each once, the oldest first.

    S3 sends a test event without records when the notification is set up; there is nothing in it.
    """
    uploads = {}
    for record in event.get("Records", ()):
        key = unquote_plus(record["s3"]["object"]["key"])
        found = _KEY.fullmatch(key)
        if record["s3"]["bucket"]["name"] == bucket and found:
            at = parse_instant(record["eventTime"])
            uploads[key, at] = Upload(key, found["workflow"], found["sha256"], at)
    return sorted(uploads.values(), key=lambda upload: upload.at)


@dataclass(frozen=True)
class WorkflowDeployer:
    """Creates and updates state machines; safe to run again on the same upload."""

    names: Names
    documents: Documents
    state_machines: StateMachines
    clock: Clock

    def deploy_all(self, uploads: list[Upload]) -> dict[str, Any]:
        done, failed = [], []
        for upload in uploads:
            try:
                done.append(self.deploy(upload))
            except MlopsError as exc:
                failed.append(f"{upload.key}: {exc}")
        if failed:
            raise MlopsError(f"{len(failed)} of {len(uploads)} not deployed. " + " ".join(failed))
        return {"deployed": done}

    def deploy(self, upload: Upload) -> dict[str, str]:
        """Bring one workflow to an upload, unless a newer one is deployed already."""
        for _ in range(ATTEMPTS):
            try:
                return {
                    "workflow": upload.workflow,
                    "code_sha256": upload.code_sha256,
                    "action": self._deploy_once(upload),
                }
            except Conflict:
                continue
        raise Conflict(f"Workflow '{upload.workflow}' is deployed by others all the time.")

    def _deploy_once(self, upload: Upload) -> str:
        current, document = self._current(upload.workflow)
        newest = _newer(current, upload)
        definition = self._read(newest)
        action = self.state_machines.ensure(self._wanted(newest, definition))
        if newest is not upload:
            return "outdated"
        if not _notes(current, upload):
            self._note(definition, upload, document)
        return action

    def _wanted(self, upload: Upload, definition: Definition) -> Wanted:
        return Wanted(
            arn=self.names.state_machine_arn(upload.workflow),
            definition=json.dumps(definition.definition, indent=1),
            role_arn=definition.role_arn,
            tags={"workflow": upload.workflow, "code_sha256": upload.code_sha256},
        )

    def _current(self, workflow: str) -> tuple[Current | None, Document | None]:
        try:
            document = self.documents.get(_current_key(workflow))
        except NotFound:
            return None, None
        return Current.model_validate_json(document.body), document

    def _read(self, upload: Upload) -> Definition:
        try:
            definition = Definition.model_validate_json(self.documents.get(upload.key).body)
        except ValidationError as exc:
            raise InputError(
                f"{upload.key} is no workflow definition: {exc}. Upload it again with "
                f"'mlops workflows deploy {upload.workflow}'."
            ) from exc
        if problems := [*self._mismatches(definition, upload)]:
            raise Refused(
                f"{upload.key}: {'; '.join(problems)}. Upload it with "
                f"'mlops workflows deploy {upload.workflow}'."
            )
        return definition

    def _mismatches(self, definition: Definition, upload: Upload) -> Iterator[str]:
        """What does not fit between a definition, its place and its code."""
        names, folder = self.names, upload.key.removesuffix("definition.json")
        machine = names.state_machine_arn(upload.workflow).rpartition(":")[2]
        source = f"{folder}source.tar.gz"
        expected = {
            "workflow": upload.workflow,
            "state_machine": machine,
            "role_arn": names.role_arn(Role.WORKFLOW),
            "code_sha256": upload.code_sha256,
            "source": f"s3://{names.artifact_bucket}/{source}",
        }
        for name, value in expected.items():
            if (found := getattr(definition, name)) != value:
                yield f"{name} is '{found}', not '{value}'"
        try:
            code = self.documents.get(source).body
        except NotFound:
            yield f"{source} does not exist"
        else:
            if hashlib.sha256(code).hexdigest() != upload.code_sha256:
                yield f"{source} is not the code that its folder names"

    def _note(self, definition: Definition, upload: Upload, document: Document | None) -> None:
        current = Current(
            workflow=upload.workflow,
            state_machine_arn=self.names.state_machine_arn(upload.workflow),
            code_sha256=upload.code_sha256,
            deployed_at=self.clock.now(),
            submitted_by=definition.submitted_by,
            uploaded_at=upload.at,
        )
        key, body = _current_key(upload.workflow), current.model_dump_json(indent=1).encode()
        if document is None:
            self.documents.create(key, body)
        else:
            self.documents.put(key, body, etag=document.etag)


def _newer(current: Current | None, upload: Upload) -> Upload:
    """The upload, or the later one that is noted already.

    An older upload that comes late (again) makes sure of the newer one: it may have changed the
    state machine before it lost the race for the note.
    """
    if current is None or current.uploaded_at <= upload.at:
        return upload
    key = f"workflows/{current.workflow}/{current.code_sha256}/definition.json"
    return Upload(key, current.workflow, current.code_sha256, current.uploaded_at)


def _notes(current: Current | None, upload: Upload) -> bool:
    """Whether the note is about this very upload."""
    return current is not None and (current.code_sha256, current.uploaded_at) == (
        upload.code_sha256,
        upload.at,
    )


def _current_key(workflow: str) -> str:
    return f"workflows/{workflow}/current.json"
