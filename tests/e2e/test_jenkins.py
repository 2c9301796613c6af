"""The Jenkinsfile walked by Groovy, and every shell step of both walks run on the local AWS.

'make test-jenkins' fetches what it needs and says where: MLOPS_TEST_GROOVY is the folder of
Groovy's jars, MLOPS_TEST_JAVA a Java of 17 or newer. The make targets among the steps are not run
here: they are this very suite.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.local.demo import EASY
from mlops.names import Role
from tests.jenkins_pipeline import parse

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

ROOT = Path(__file__).resolve().parents[2]
WALK = ROOT / "tests/jenkins/walk.groovy"
JARS = os.environ.get("MLOPS_TEST_GROOVY")
JAVA = os.environ.get("MLOPS_TEST_JAVA", "java")
SITUATIONS = {
    "change": {"change": True, "branch": "PR-7"},
    "main": {"change": False, "branch": "main"},
    "another branch": {"change": False, "branch": "try-out"},
}
SIMULATED_TO = "2025-05-20"
"""The last day of 'mlops data simulate'."""
PARAMETERS = {"MLOPS_ENV": "dev", "RUN_WORKFLOW": True}

pytestmark = [
    pytest.mark.skipif(not JARS, reason="needs Groovy's jars; 'make test-jenkins' fetches them"),
    pytest.mark.xdist_group("jenkins"),
]


def groovy(file: Path, situation: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    given = {"params": PARAMETERS, "env": {"WORKSPACE": "/w", "PATH": "/bin"}} | situation
    jars = ":".join(str(jar) for jar in sorted(Path(JARS or "").glob("*.jar")))
    return subprocess.run(
        [JAVA, "-cp", jars, "groovy.ui.GroovyMain", WALK, file, json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
    )


@cache
def walked(name: str) -> dict[str, Any]:
    done = groovy(ROOT / "Jenkinsfile", SITUATIONS[name])
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def shell(name: str) -> list[str]:
    return [step["text"] for step in walked(name)["steps"] if step["step"] == "sh"]


def stages_of(name: str) -> list[str]:
    return list(dict.fromkeys(step["stage"] for step in walked(name)["steps"]))


def test_a_change_request_is_checked_tested_and_planned() -> None:
    assert stages_of("change") == ["Set up", "Check", "Test", "Plan", "post"]


def test_main_is_checked_tested_deployed_and_run() -> None:
    assert stages_of("main") == ["Set up", "Check", "Test", "Deploy", "Run", "post"]


def test_another_branch_is_checked_and_tested_alone() -> None:
    assert stages_of("another branch") == ["Set up", "Check", "Test", "post"]


def test_what_changes_an_environment_holds_its_lock() -> None:
    locks = {s["stage"]: s["text"] for s in walked("main")["steps"] if s["step"] == "option"}
    assert locks == {"Deploy": "lock mlops-dev", "Run": "lock mlops-dev"}


def test_only_the_set_up_is_tried_again() -> None:
    again = [step["text"] for step in walked("main")["steps"] if step["tries"] > 1]
    assert again == ["make setup"]


@pytest.mark.parametrize("env", ["dev", "stage", "prod"])
def test_each_environment_is_entered_as_its_own_jenkins_and_holds_its_own_lock(env: str) -> None:
    situation = SITUATIONS["main"] | {"params": PARAMETERS | {"MLOPS_ENV": env}}
    done = groovy(ROOT / "Jenkinsfile", situation)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["environment"]["AWS_PROFILE"] == f"mlops-{env}-jenkins"
    locks = {s["text"] for s in found["steps"] if s["step"] == "option"}
    assert locks == {f"lock mlops-{env}"}


def test_nothing_runs_after_deploying_where_nobody_wants_to_train() -> None:
    situation = SITUATIONS["main"] | {"params": PARAMETERS | {"RUN_WORKFLOW": False}}
    found = json.loads(groovy(ROOT / "Jenkinsfile", situation).stdout)
    assert "Run" not in {step["stage"] for step in found["steps"]}


def test_groovy_and_the_tests_of_every_run_read_the_same_steps() -> None:
    pipeline = parse((ROOT / "Jenkinsfile").read_text()).one("pipeline")
    read = {step.arguments[0].replace('\\"', '"') for step in pipeline.all("sh")}
    assert {*shell("change"), *shell("main")} == read


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("changeRequest()", "changeReqest()", "Unknown 'changeReqest' in when of Plan"),
        ("agent { label 'mlops' }", "", "No agent for stage Set up"),
        ("    stages {", "    stagez {", "Unknown 'stagez' in pipeline"),
        ("sh 'make check", "bat 'make check", "Unknown 'bat' in steps of Check"),
        ("changeRequest()", "", "No condition in when of Plan"),
        ("params.RUN_WORKFLOW", "parms.RUN_WORKFLOW", "parms"),
        ("\n}\n", "\n", "Unexpected input"),
    ],
)
def test_a_mistake_is_named(old: str, new: str, complaint: str, tmp_path: Path) -> None:
    text = (ROOT / "Jenkinsfile").read_text()
    assert old in text
    (tmp_path / "Jenkinsfile").write_text(text.replace(old, new))
    done = groovy(tmp_path / "Jenkinsfile", SITUATIONS["main"])
    assert done.returncode == 1
    assert complaint in done.stderr


class Workspace:
    """Where a build runs its steps, as Jenkins' role on the local AWS."""

    def __init__(self, folder: Path, aws: LocalAws) -> None:
        self.folder, self._aws = folder, aws
        for checked_out in ("feature_repo", "pipelines"):
            (folder / checked_out).symlink_to(ROOT / checked_out)
        (folder / "build").mkdir()

    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        given = os.environ | self._aws.environment(Role.JENKINS)
        return given | {"PATH": path, "BUILD_NUMBER": "1"}

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["sh", "-xe", "-c", command],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def walk(self, name: str) -> Iterator[tuple[str, str]]:
        """Each step with what it printed; make targets and the cleaning up are left out."""
        for command in shell(name):
            if command.startswith("make "):
                for kept in re.findall(r"> (\S+\.txt)", command):
                    (self.folder / kept).write_text("This very suite runs it.")
            elif not command.startswith("rm "):
                yield command, self.run(command + self._eased(command))

    def _eased(self, command: str) -> str:
        """The model's own thresholds are for the handbook's payments, not for simulated ones, and
        these end before this day."""
        if "workflows run fraud" not in command:
            return ""
        return f" --set test_end={SIMULATED_TO}" + "".join(
            f" --set thresholds.{metric}={least}" for metric, least in EASY.items()
        )


@pytest.fixture
def workspace(tmp_path: Path, platform: LocalAws) -> Workspace:
    return Workspace(tmp_path, platform)


def test_every_step_of_both_walks_runs(workspace: Workspace) -> None:
    planned = dict(workspace.walk("change"))
    report = planned["cat build/plan/report.md"]
    assert "is missing" not in report
    assert (
        "create feature view customer_spend" in report or "+ feature view customer_spend" in report
    )
    assert "USD a month" in report

    workspace.run("mlops data simulate")
    workspace.run("mlops features apply")
    workspace.run("mlops features build")
    deployed = dict(workspace.walk("main"))
    assert any(
        command.startswith(". build/environment.sh && mlops workflows run fraud")
        for command in deployed
    )

    again = dict(workspace.walk("change"))
    assert "Nothing to change." in again["cat build/plan/report.md"]
