"""Synthesising: cached by what the templates depend on."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from infra import synth
from infra.synth import Stack, node, synthesize
from mlops.errors import InputError, JobFailed
from mlops.names import Names

NAMES = Names(project="mlops", env="dev", account="123456789012", region="ap-northeast-2")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where the app was asked to write; a small app in place of the real one."""
    asked: list[Path] = []

    def run(_names: Names, out: Path) -> None:
        asked.append(out)
        out.mkdir(parents=True)
        entry = {"name": "a", "template": "a.json", "protected": True, "administered": False}
        entry["role"] = "infrastructure"
        (out / synth.INDEX).write_text(json.dumps([entry]))
        (out / "a.json").write_text(json.dumps({"Resources": {}, "Parameters": {"CodeKey": {}}}))

    monkeypatch.setattr(synth, "_run_app", run)
    return asked


def test_templates_are_synthesised_once(runs: list[Path], tmp_path: Path) -> None:
    first, again = (synthesize(NAMES, build=tmp_path) for _ in range(2))
    assert first == again == [Stack("a", {"Resources": {}, "Parameters": {"CodeKey": {}}}, True)]
    assert len(runs) == 1


def test_who_asks_meanwhile_gets_what_the_first_makes(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, both = synth._run_app, Barrier(2)

    def slow(*given: Any) -> None:
        time.sleep(0.05)
        run(*given)

    monkeypatch.setattr(synth, "profile_of", lambda _: both.wait(10))
    monkeypatch.setattr(synth, "_run_app", slow)
    with ThreadPoolExecutor(2) as pool:
        first, other = pool.map(lambda _: synthesize(NAMES, build=tmp_path), range(2))
    assert first == other
    assert len(runs) == 1


def test_other_names_are_synthesised_anew(runs: list[Path], tmp_path: Path) -> None:
    synthesize(NAMES, build=tmp_path)
    synthesize(Names("other", "dev", "123456789012", "ap-northeast-2"), build=tmp_path)
    assert len(runs) == 2


def test_a_changed_source_is_synthesised_anew(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesize(NAMES, build=tmp_path)
    changed = tmp_path / "stack.py"
    changed.write_text("changed")
    monkeypatch.setattr(synth, "ROOT", tmp_path)
    monkeypatch.setattr(synth, "_sources", lambda: [changed])
    synthesize(NAMES, build=tmp_path)
    assert len(runs) == 2


def test_an_unknown_environment_is_refused_before_anything_runs(
    runs: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no environment 'qa'"):
        synthesize(Names("mlops", "qa", "123456789012", "ap-northeast-2"), build=tmp_path)
    assert runs == []


def test_an_app_that_fails_shows_its_own_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        synth, "_command", lambda *_: ["sh", "-c", "echo no such bucket >&2; false"]
    )
    with pytest.raises(JobFailed, match="Synthesising mlops-dev failed:\nno such bucket"):
        synthesize(NAMES, build=tmp_path)


def test_the_wheels_node_is_there() -> None:
    assert os.access(node(), os.X_OK)
