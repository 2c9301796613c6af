"""The Jenkinsfile: a declarative pipeline whose every command exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli_commands import find_command
from tests.jenkins_pipeline import Block, parse

REPOSITORY = Path(__file__).resolve().parents[3]
SECTIONS = {"agent", "environment", "options", "parameters", "post", "stages"}
STAGE_SECTIONS = {"agent", "environment", "options", "post", "steps", "when"}
CONDITIONS = {"branch", "changeRequest", "expression", "beforeAgent"}
STEPS = {"archiveArtifacts", "echo", "retry", "sh"}
PLAIN = {"cat", "mkdir", "rm"}
READ_ONLY = {
    "cost estimate",
    "infra report",
    "infra diff",
    "infra env",
    "features schema diff",
    "features plan",
    "models rules",  # in a dry run
    "workflows plan",
}


@pytest.fixture(scope="module")
def pipeline() -> Block:
    return parse((REPOSITORY / "Jenkinsfile").read_text()).one("pipeline")


def stages(pipeline: Block) -> dict[str, Block]:
    return {stage.arguments[0]: stage for stage in pipeline.one("stages").children}


def shell(block: Block) -> Iterator[list[str]]:
    """Every command of the block's `sh` steps, without where its output goes."""
    for step in block.all("sh"):
        for command in step.arguments[0].split("&&"):
            yield shlex.split(re.sub(r">\s*\S+", "", command))


def mlops_commands(block: Block) -> list[list[str]]:
    return [words[1:] for words in shell(block) if words[0] == "mlops"]


def test_it_is_one_declarative_pipeline(pipeline: Block) -> None:
    assert set(pipeline.names) == SECTIONS
    assert len(pipeline.names) == len(SECTIONS)
    assert pipeline.one("agent").children or pipeline.one("agent").arguments


def test_every_stage_is_well_formed(pipeline: Block) -> None:
    for name, stage in stages(pipeline).items():
        assert stage.name == "stage", name
        assert set(stage.names) <= STAGE_SECTIONS, name
        assert {step.name for step in stage.one("steps").children} <= STEPS, name
        for when in stage.all("when"):
            assert set(when.names) <= CONDITIONS, name


def test_make_targets_exist(pipeline: Block) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.M))
    used = {words[1] for words in shell(pipeline) if words[0] == "make"}
    assert {"setup", "check", "test"} <= used <= targets


def test_every_command_is_one_of_ours_or_plain(pipeline: Block) -> None:
    for words in shell(pipeline):
        assert words[0] in {"make", "mlops", "."} | PLAIN, words


def test_mlops_commands_take_their_arguments(
    pipeline: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("build/plan").mkdir(parents=True)
    Path("build/plan/features.json").touch()
    commands = mlops_commands(pipeline)
    assert commands
    for words in commands:
        command, arguments = find_command(words)
        command.make_context(command.name, [a.replace("${MLOPS_ENV}", "dev") for a in arguments])


def name_of(words: list[str]) -> str:
    """The command without its arguments: 'features schema diff'."""
    _, arguments = find_command(words)
    return " ".join(words[: len(words) - len(arguments)])


def test_a_change_request_changes_nothing(pipeline: Block) -> None:
    plan = stages(pipeline)["Plan"]
    assert plan.one("when").names == ["changeRequest"]
    assert {name_of(words) for words in mlops_commands(plan)} <= READ_ONLY


def test_only_main_deploys_and_runs(pipeline: Block) -> None:
    for name, stage in stages(pipeline).items():
        changing = {name_of(words) for words in mlops_commands(stage)} - READ_ONLY
        if changing:
            assert stage.one("when").one("branch").arguments == ["main"], name


def test_main_deploys_infrastructure_then_features_then_workflows(pipeline: Block) -> None:
    commands = [name_of(words) for words in mlops_commands(stages(pipeline)["Deploy"])]
    assert commands == [
        "infra deploy",
        "infra env",
        "features schema evolve",
        "features plan",
        "features apply",
        "models rules",
        "workflows deploy",
        "workflows schedule set",
    ]


def test_a_new_model_needs_no_line_of_its_own(pipeline: Block) -> None:
    from pipelines.training.settings import list_models

    words = {word for words in mlops_commands(pipeline) for word in words}
    assert not words & set(list_models())


def test_all_rules_workflows_and_schedules_are_those_of_every_model(pipeline: Block) -> None:
    commands = [" ".join(words) for words in mlops_commands(stages(pipeline)["Deploy"])]
    assert commands[-3:] == [
        "models rules --all --apply",
        "workflows deploy --all",
        "workflows schedule set --all",
    ]


def test_rules_of_a_change_request_are_shown_and_not_applied(pipeline: Block) -> None:
    commands = mlops_commands(stages(pipeline)["Plan"])
    (rules,) = [words for words in commands if words[:2] == ["models", "rules"]]
    assert "--dry-run" in rules


def test_each_environment_names_the_account_that_it_belongs_to(pipeline: Block) -> None:
    (account,) = pipeline.one("environment").all("MLOPS_ACCOUNT")
    assert account.arguments == ["=", "credentials", "mlops-${params.MLOPS_ENV}-account"]


def test_an_environment_is_changed_by_one_build_at_a_time(pipeline: Block) -> None:
    for name in ("Deploy", "Run"):
        (lock,) = stages(pipeline)[name].one("options").all("lock")
        assert lock.arguments[-1] == "mlops-${params.MLOPS_ENV}", name


def test_only_what_changes_nothing_is_tried_again(pipeline: Block) -> None:
    repeated = [words for again in pipeline.all("retry") for words in shell(again)]
    assert repeated == [["make", "setup"]]


def test_only_the_plan_that_was_written_is_applied(pipeline: Block) -> None:
    commands = mlops_commands(stages(pipeline)["Deploy"])
    planned, applied = (
        next(words for words in commands if words[:2] == ["features", name])
        for name in ("plan", "apply")
    )
    assert planned[planned.index("--out") + 1] == applied[applied.index("--plan") + 1]


def test_the_report_has_every_part_of_the_plan(pipeline: Block) -> None:
    from infra.report import PARTS

    text = "\n".join(step.arguments[0] for step in pipeline.all("sh"))
    assert set(re.findall(r"> build/plan/(\w+)\.txt", text)) == set(PARTS)
    (archived,) = stages(pipeline)["Plan"].all("archiveArtifacts")
    assert "build/plan/*" in archived.arguments


def test_jenkins_breaks_no_reader_by_itself(pipeline: Block) -> None:
    assert not [words for words in mlops_commands(pipeline) if "--allow-breaking" in words]


def test_jenkins_approves_nothing(pipeline: Block) -> None:
    asked = {tuple(words[:2]) for words in mlops_commands(pipeline) if words[0] == "models"}
    assert asked == {("models", "rules")}


def test_commands_that_need_the_environment_load_it(pipeline: Block) -> None:
    for step in pipeline.all("sh"):
        if re.search(r"mlops (features|models|workflows)", step.arguments[0]):
            assert step.arguments[0].startswith(". build/environment.sh && ")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("pipeline {", "not closed"),
        ("pipeline { } }", "closes nothing"),
        ("pipeline { ^ }", "read"),
    ],
)
def test_a_broken_file_is_told(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse(text)
