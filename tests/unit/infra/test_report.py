"""The report of a plan: what matters first, everything after it, what is missing by name."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from infra.cli import infra
from infra.report import PARTS, render

WHOLE = {
    "checks": "All checks passed!",
    "tests": "5 passed in 1.0s",
    "infrastructure": "mlops-dev-storage: 1 to remove\n  - AWS::S3::Bucket data  LOSES ITS DATA",
    "schemas": "",
    "features": "BREAKS fraud/3 needs spend:mean\n1 to create, 0 to change, 0 to delete.",
    "workflows": (
        "REFUSED churn: no such input\n"
        "fraud: unchanged\n  a run of fraud starts after the merge: its code is another\n"
        "credit: unchanged\n  the merge starts no run of credit: no table loans"
    ),
    "rules": "fraud: The same rules are in force already.",
    "price": "all 120",
}


def test_what_loses_data_or_breaks_a_model_stands_first() -> None:
    before = render(WHOLE).partition("\n## ")[0]
    assert "- **Infrastructure**: - AWS::S3::Bucket data  LOSES ITS DATA" in before
    assert "BREAKS fraud/3 needs spend:mean" in before


def test_what_cannot_be_deployed_and_what_the_merge_starts_stand_first() -> None:
    before = render(WHOLE).partition("\n## ")[0]
    assert "REFUSED churn: no such input" in before
    assert "a run of fraud starts after the merge" in before
    assert "credit" not in before


def test_a_count_of_none_is_no_alarm() -> None:
    assert "0 to delete" not in render(WHOLE).partition("\n## ")[0]


def test_every_part_is_there_as_it_was_printed() -> None:
    told = render(WHOLE)
    for name, title in PARTS.items():
        assert f"## {title}\n\n```\n{WHOLE[name] or 'nothing'}\n```" in told


def test_how_far_the_tests_were_is_left_out() -> None:
    told = render(WHOLE | {"tests": "..s.x [ 50%]\n.....  [100%]\n10 passed in 2.0s"})
    assert "## Tests\n\n```\n10 passed in 2.0s\n```" in told


def test_a_part_that_was_not_made_is_named() -> None:
    assert "**Price of a month** is missing" in render({"features": "Nothing to change."})


def test_the_command_reads_a_folder(tmp_path: Path) -> None:
    (tmp_path / "features.txt").write_text("Nothing to change.")
    told = CliRunner().invoke(infra, ["report", str(tmp_path)]).output
    assert "Nothing to change." in told
    assert "**Infrastructure** is missing" in told
