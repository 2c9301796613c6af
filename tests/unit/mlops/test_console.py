"""Tables show what they are given."""

from __future__ import annotations

import pytest

from mlops.cli import console


def test_brackets_in_a_cell_are_shown_and_not_taken_for_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.print_table(["note"], [["good [record 12ab]"], ["see [/TICKET]"], [None]])
    printed = capsys.readouterr().out
    assert "good [record 12ab]" in printed
    assert "see [/TICKET]" in printed
