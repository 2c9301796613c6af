"""A platform of its own with simulated payments, built features and the fraud workflow."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3

from infra.local import lifecycle
from infra.local.lifecycle import LocalAws
from mlops.aws import Aws
from mlops.names import Names, Role
from mlops.objects import S3Documents
from mlops.settings import load_settings
from pipelines.training.archive import archive
from pipelines.training.compiler import Bundle, bundle_code, compile_workflow
from pipelines.training.deploy import WorkflowDeployment
from pipelines.training.starting.rules import EventBridgeRules, wanted_rules
from pipelines.training.starts import Starts
from tests.commands import in_a_process, mlops

_WITH_FEAST = ("data", "features")
"""Commands that need a process of their own: Feast's file systems stay those of their first use."""
END = "2018-08-15"
"""The day after the simulated payments end; also where the platform's clock stands."""
SETTINGS = {
    "test_end": END,
    "thresholds.auc_roc": "0.6",
    "thresholds.average_precision": "0.1",
    "thresholds.card_precision_100": "0.05",
    "hyperparameters.max_iter": "20",
}
"""What a small simulated set lets a model reach."""


@dataclass(frozen=True)
class Site:
    """The environment, and the commands of whoever works in it."""

    local: LocalAws

    @property
    def names(self) -> Names:
        return self.local.names

    def mlops(
        self, *command: str, role: Role | None = Role.JENKINS, fails: bool = False
    ) -> subprocess.CompletedProcess[str]:
        run = in_a_process if command[0] in _WITH_FEAST else mlops
        done = run("--clock", END, *command, environment=self.local.environment(role))
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done

    def start(self, name: str, **changed: str) -> None:
        """Start an execution and do not wait for it."""
        pairs = [f"--set={key}={value}" for key, value in (SETTINGS | changed).items()]
        self.mlops("workflows", "run", "fraud", "--name", name, *pairs)

    def finish(self, name: str, *, fails: bool = False, **changed: str) -> dict[str, Any]:
        """Follow an execution to its end; started if it was not."""
        pairs = [f"--set={key}={value}" for key, value in (SETTINGS | changed).items()]
        command = ("workflows", "run", "fraud", "--name", name, "--wait", "--json", *pairs)
        done = self.mlops(*command, fails=fails)
        ended = {"stderr": done.stderr, "exit_code": done.returncode}
        found: dict[str, Any] = json.loads(done.stdout) | ended
        return found

    def client(self, service: str, role: Role | None = None) -> Any:
        return self.local.client(service, role)

    def object(self, key: str) -> bytes:
        bucket = self.names.artifact_bucket
        return bytes(self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())

    def aws(self, role: Role) -> Aws:
        return _EndpointAws(self.local.session(role), self.local.endpoint)

    def deploy_with(self, replaced: Mapping[str, bytes]) -> None:
        """Deploy the workflow with some files of its code replaced."""
        environment = self.local.environment(Role.JENKINS)
        settings = load_settings(environment)
        with tarfile.open(fileobj=io.BytesIO(bundle_code(settings.feature_repo).body)) as tar:
            files = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]  # files
        compiled = compile_workflow(
            "fraud",
            settings,
            bundle=Bundle(archive(files | dict(replaced))),
            submitted_by="arn:aws:iam::000000000000:role/mlops-local-jenkins",
        )
        aws = self.aws(Role.JENKINS)
        documents = S3Documents(aws, self.names.artifact_bucket)
        deployment = WorkflowDeployment(aws, self.names, documents)
        deployment.upload(compiled)
        deployment.wait(compiled, timeout_seconds=60)


class _EndpointAws(Aws):
    """As the platform's processes have it, without changing this process's environment."""

    def __init__(self, session: boto3.Session, endpoint: str) -> None:
        super().__init__(session)
        self._endpoint = endpoint

    def client(self, service: str) -> Any:
        return self.session.client(service, endpoint_url=self._endpoint)


CLOCKWORK = "clockwork"
"""A workflow that does nothing, started by a schedule while the tables are built."""


def arm_schedule(site: Site) -> None:
    """Once, in the next minute that is not about to begin."""
    site.mlops("workflows", "deploy", "start")
    site.client("stepfunctions").create_state_machine(
        name=site.names.state_machine_arn(CLOCKWORK).rpartition(":")[2],
        definition='{"StartAt": "Nothing", "States": {"Nothing": {"Type": "Succeed"}}}',
        roleArn=site.names.role_arn(Role.WORKFLOW),
    )
    at = datetime.now(UTC) + timedelta(seconds=75)
    starts = Starts(schedule=f"cron({at:%M %H %d %m} ? {at:%Y})")
    rules = EventBridgeRules(site.aws(Role.JENKINS), site.names)
    for rule in wanted_rules(CLOCKWORK, starts, {}):
        rules.put(CLOCKWORK, rule)


def open_site(folder: Path) -> Iterator[Site]:
    """Deployed, with payments, definitions and feature tables; gone at the end."""
    with lifecycle.start(folder) as local:
        site = Site(local)
        done = in_a_process("infra", "deploy", environment=local.environment())
        assert done.returncode == 0, done.stderr
        arm_schedule(site)
        size = ("--customers", "250", "--terminals", "1500", "--days", "60")
        site.mlops("data", "simulate", *size, "--start", "2018-06-16", "--seed", "3")
        site.mlops("features", "apply")
        site.mlops("features", "build", "--from", "2018-07-25", "--to", "2018-08-14")
        yield site
