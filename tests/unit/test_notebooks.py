"""The example notebooks are short, and hold no output in git."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

NOTEBOOKS = sorted(Path(__file__).parents[2].glob("docs/**/*.ipynb"))


def code_cells(path: Path) -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_there_is_one() -> None:
    assert [path.name for path in NOTEBOOKS] == ["training-set.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_holds_no_output(path: Path) -> None:
    assert [cell for cell in code_cells(path) if cell.outputs or cell.execution_count] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_user_writes_less_than_20_lines(path: Path) -> None:
    lines = [line for cell in code_cells(path) for line in cell.source.splitlines()]
    assert len([line for line in lines if line.strip()]) < 20
