"""The Airflow example and the page on ingestion name commands that exist, and the DAG runs them."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Self

import click
import pytest

from mlops.cli.main import root

DOCS = Path(__file__).resolve().parents[3] / "docs"


class DAG:
    """Airflow's, as far as the example uses it."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""


class BashOperator:
    """Keeps what it was asked for, and what comes after it."""

    made: ClassVar[list[BashOperator]] = []

    def __init__(self, *, task_id: str, bash_command: str) -> None:
        self.task_id, self.bash_command = task_id, bash_command
        self.after: list[str] = []
        self.made.append(self)

    def __rshift__(self, others: BashOperator | list[BashOperator]) -> Any:
        for other in others if isinstance(others, list) else [others]:
            self.after.append(other.task_id)
        return others


def module(name: str, **members: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(members)
    return made


@pytest.fixture
def dag(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The example, run by an Airflow that only writes down."""
    standard = "airflow.providers.standard"
    modules: dict[str, dict[str, Any]] = {
        "airflow": {"DAG": DAG},
        "airflow.providers": {},
        standard: {},
        f"{standard}.operators": {},
        f"{standard}.operators.bash": {"BashOperator": BashOperator},
    }
    for name, members in modules.items():
        monkeypatch.setitem(sys.modules, name, module(name, **members))
    monkeypatch.setattr(BashOperator, "made", [])
    return runpy.run_path(str(DOCS / "examples/airflow_dag.py"))


def parse(command: click.Command, arguments: Sequence[str]) -> click.Command:
    """The command that would run, after click took the arguments; nothing is run."""
    context = command.make_context(command.name, list(arguments))
    if not isinstance(command, click.Group):
        return command
    rest = [*context._protected_args, *context.args]
    _, found, arguments = command.resolve_command(context, rest)
    assert found is not None
    return parse(found, arguments)


def words(line: str) -> list[str]:
    """A line of shell, with Airflow's templates filled in."""
    return shlex.split(re.sub(r"\{\{.*?\}\}", "filled-in", line), comments=True)


def test_the_dag_goes_from_files_to_features_and_training(dag: dict[str, Any]) -> None:
    assert {task.task_id: task.after for task in BashOperator.made} == {
        "ingest": ["build"],
        "build": ["upsync", "train"],
        "upsync": [],
        "train": [],
    }
    assert dag["dag"].options["max_active_runs"] == 1


def test_the_dag_only_calls_commands_that_exist(dag: dict[str, Any]) -> None:
    del dag
    called = {}
    for task in BashOperator.made:
        program, *arguments = words(task.bash_command)
        assert program == "mlops"
        called[task.task_id] = parse(root, arguments).name
    assert called == {"ingest": "ingest", "build": "build", "upsync": "upsync", "train": "run"}


def shell_lines(text: str) -> Iterable[str]:
    for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()


def test_the_page_on_ingestion_names_commands_that_exist() -> None:
    lines = list(shell_lines((DOCS / "ingestion.md").read_text()))
    commands = [words(line)[1:] for line in lines if line.startswith("mlops ")]
    assert len(commands) > 8
    for arguments in commands:
        assert parse(root, arguments).name
