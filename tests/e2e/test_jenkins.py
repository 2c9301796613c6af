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
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlops.names import Role
from pipelines.credit.simulator import simulate
from pipelines.training.scaffold import new_model
from tests.jenkins_pipeline import parse
from tests.pushing import Build, Clone
from tests.training_site import END

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws

ROOT = Path(__file__).resolve().parents[2]
WALK = ROOT / "tests/jenkins/walk.groovy"
JARS = os.environ.get("MLOPS_TEST_GROOVY")
JAVA = os.environ.get("MLOPS_TEST_JAVA", "java")
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""For a second's work, compiling well costs more than it brings."""
SITUATIONS = {
    "change": {"change": True, "branch": "PR-7"},
    "main": {"change": False, "branch": "main"},
    "another branch": {"change": False, "branch": "try-out"},
}
SIMULATED = "--customers 250 --terminals 1500 --days 60 --start 2018-06-16 --seed 3"
"""Payments up to END, where the platform's clock stands."""
EDITED = {
    "pipelines/fraud/settings.py": {
        '"auc_roc": 0.845, "average_precision": 0.57, "card_precision_100": 0.27': (
            '"auc_roc": 0.6, "average_precision": 0.1, "card_precision_100": 0.05'
        ),
        'algorithm="gradient_boosting",': (
            'algorithm="gradient_boosting", hyperparameters={"max_iter": 20},'
        ),
    },
    "pipelines/credit/settings.py": {
        '"auc_roc": 0.9, "average_precision": 0.85': '"auc_roc": 0.8, "average_precision": 0.5',
    },
}
"""What a few simulated rows let a model reach."""
PARAMETERS = {"MLOPS_ENV": "dev", "RUN_WORKFLOW": True}

pytestmark = [
    pytest.mark.skipif(not JARS, reason="needs Groovy's jars; 'make test-jenkins' fetches them"),
    pytest.mark.xdist_group("jenkins"),
]


def groovy(file: Path, situation: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    given = {"params": PARAMETERS, "env": {"WORKSPACE": "/w", "PATH": "/bin"}} | situation
    jars = ":".join(str(jar) for jar in sorted(Path(JARS or "").glob("*.jar")))
    return subprocess.run(
        [JAVA, *QUICK, "-cp", jars, "groovy.ui.GroovyMain", WALK, file, json.dumps(given)],
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
def test_each_environment_has_its_own_jenkins_account_and_lock(env: str) -> None:
    situation = SITUATIONS["main"] | {"params": PARAMETERS | {"MLOPS_ENV": env}}
    done = groovy(ROOT / "Jenkinsfile", situation)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["environment"]["AWS_PROFILE"] == f"mlops-{env}-jenkins"
    assert found["environment"]["MLOPS_ACCOUNT"] == f"the credential mlops-{env}-account"
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


@dataclass(frozen=True)
class Workspace:
    """A checkout with a model that nobody had before, built as Jenkins' role on the local AWS."""

    build: Build

    def walk(self, name: str, *, stage: str = "") -> Iterator[tuple[str, str]]:
        """Each step, or those of a stage, with what it printed.

        Make targets and the cleaning up are left out.
        """
        for step in walked(name)["steps"]:
            command = step["text"]
            if step["step"] != "sh" or (stage and step["stage"] != stage):
                continue
            if command.startswith("make "):
                for kept in re.findall(r"> (\S+\.txt)", command):
                    (self.build.checkout / kept).write_text("This very suite runs it.")
            elif not command.startswith("rm "):
                yield command, self.build.run(command)

    def report(self) -> str:
        """What a change request is told."""
        return dict(self.walk("change"))["cat build/plan/report.md"]


@pytest.fixture(scope="module")
def workspace(platform: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    clone = Clone.begin(tmp_path_factory.mktemp("git"))
    for name, changes in EDITED.items():
        clone.edit(name, changes)
    new_model("churn", clone.folder).write(clone.folder)
    clone.push("Foretell who leaves")
    environment = platform.environment(Role.JENKINS) | {"MLOPS_CLOCK": END}
    folder = tmp_path_factory.mktemp("agent") / "workspace"
    return Workspace(Build.check_out(clone.bare, folder, environment))


@pytest.fixture(scope="module")
def planned(workspace: Workspace) -> str:
    """The report where nothing but the infrastructure was ever deployed."""
    return workspace.report()


@pytest.fixture(scope="module")
def first(workspace: Workspace, planned: str) -> dict[str, str]:
    """What the first build of main printed, where there is no data yet."""
    return dict(workspace.walk("main"))


@pytest.fixture(scope="module")
def filled(workspace: Workspace, first: dict[str, str], tmp_path_factory: Any) -> Workspace:
    """The next build, once there are payments, feature tables and loans."""
    folder = tmp_path_factory.mktemp("loans")
    workspace.build.run("mlops workflows schedule pause credit")  # loans alone would start it
    for name, rows in simulate(loans=2_000, end=date.fromisoformat(END), seed=1).items():
        rows.to_parquet(folder / f"{name}.parquet", index=False)
        workspace.build.run(f"mlops data load {name} {folder}/{name}.parquet")
    workspace.build.run(f"mlops data simulate {SIMULATED}")
    workspace.build.run("mlops features build --from 2018-07-25 --to 2018-08-14")
    environment = dict(workspace.build.environment) | {"BUILD_NUMBER": "8"}
    return Workspace(replace(workspace.build, environment=environment))


@pytest.fixture(scope="module")
def ran(filled: Workspace) -> str:
    """What the runs that were due printed."""
    return "".join(text for _, text in filled.walk("main", stage="Run"))


def test_the_report_of_a_change_has_all_of_it(planned: str) -> None:
    assert "is missing" not in planned
    assert "REFUSED" not in planned
    assert "+ feature view customer_spend" in planned
    assert "USD a month" in planned


def test_a_model_that_is_new_is_planned_without_a_line_in_the_jenkinsfile(planned: str) -> None:
    for workflow in ("churn", "credit", "drift", "fraud", "start", "upsync"):
        assert f"{workflow}: new, " in planned
    assert "churn: The rules would be applied." in planned


def test_the_report_says_what_will_start_by_itself_and_what_the_merge_starts(planned: str) -> None:
    assert "+ starts by itself: schedule, cron(0 18 ? * SUN *), UTC" in planned
    assert "+ starts by itself: data, rows of loans came in, once a day" in planned
    assert "the merge starts no run of fraud: this environment has no table payments" in planned


def test_the_first_build_of_an_empty_environment_goes_through(first: dict[str, str]) -> None:
    deployed = first[". build/environment.sh && mlops workflows deploy --all"]
    assert re.findall(r"(\w+): deployed", deployed) == [
        *("churn", "credit", "drift", "fraud", "start", "upsync"),
    ]
    due = next(text for step, text in first.items() if "run-due" in step)
    for model in ("churn", "credit", "fraud"):
        assert f"the merge starts no run of {model}: this environment has no table" in due


def test_every_model_whose_tables_are_there_is_run_and_registered(ran: str) -> None:
    for model in ("churn", "credit", "fraud"):
        assert f"a run of {model} starts after the merge" in ran
        assert f"Registered as version 1: mlops models show {model} 1" in ran


def test_what_was_deployed_and_ran_is_no_change(filled: Workspace, ran: str) -> None:
    report = filled.report()
    assert "Nothing to change." in report
    for model in ("churn", "credit", "fraud"):
        assert f"{model}: unchanged" in report
    assert report.count("run jenkins-8 succeeded with this code") == 3
    assert "same rules are in force already" in report
