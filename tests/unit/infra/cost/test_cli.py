"""`mlops cost`: loads by preset, file and options; text and JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infra.cost.cli import cost
from mlops.errors import InputError, NotFound

ROOT = Path(__file__).resolve().parents[4]
NUMBERS = ("--offline-tb", "1", "--online-gb", "2", "--reads-per-day", "3000")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cost, arguments)


def estimate(*arguments: str) -> dict[str, Any]:
    done = run("estimate", *arguments, "--json")
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.output))


def test_a_preset_is_priced_beside_what_was_published() -> None:
    found = estimate("--preset", "kakaopay")
    assert (found["published"], found["currency"]) == (5433.0, "USD")
    assert found["load"]["offline_tb"] == 36


def test_a_changed_preset_is_nobody_elses_load() -> None:
    assert estimate("--preset", "kakaopay", "--online-gb", "30")["published"] is None


def test_numbers_alone_are_a_load() -> None:
    assert estimate(*NUMBERS)["load"]["reads_per_day"] == 3000


def test_a_file_is_a_load_and_options_go_before_it(tmp_path: Path) -> None:
    file = tmp_path / "load.json"
    file.write_text(json.dumps(estimate("--preset", "start")["load"]))
    found = estimate("--load", str(file), "--offline-tb", "7")
    assert (found["load"]["offline_tb"], found["load"]["online_gb"]) == (7, 2)


def test_a_file_with_nonsense_is_refused_by_field(tmp_path: Path) -> None:
    file = tmp_path / "load.json"
    file.write_text('{"offline_tb": -1, "online_gb": "much", "reads_per_day": 1, "colour": "red"}')
    refused = run("estimate", "--load", str(file)).exception
    assert isinstance(refused, InputError)
    assert all(name in str(refused) for name in ("offline_tb", "online_gb", "colour"))


def test_an_incomplete_load_names_the_options_that_are_missing() -> None:
    refused = run("estimate", "--offline-tb", "1").exception
    assert isinstance(refused, InputError)
    assert "--online-gb, --reads-per-day" in str(refused)


def test_two_loads_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "load.json"
    file.write_text("{}")
    refused = run("estimate", "--preset", "start", "--load", str(file)).exception
    assert isinstance(refused, InputError)


def test_another_regions_prices_are_not_made_up() -> None:
    refused = run("estimate", "--preset", "start", "--region", "eu-west-1").exception
    assert isinstance(refused, NotFound)


def test_every_environments_sizes_can_be_priced() -> None:
    totals = [estimate(*NUMBERS, "--env", env)["total"] for env in ("local", "dev", "prod")]
    assert totals == sorted(totals)


def test_the_text_says_of_when_the_prices_are() -> None:
    told = run("estimate", "--preset", "kakaopay").output
    assert re.search(r"Prices of ap-northeast-2 as of 20\d\d-\d\d-\d\d: .* by hand", told)


def test_the_table_of_prices_is_printed_whole() -> None:
    told = json.loads(run("prices", "--json").output)
    assert told["prices"]["s3.gb_month"][-1] == [None, 0.023]
    assert "0.025 up to 51,200, 0.024 up to 512,000, 0.023 beyond" in run("prices").output


@pytest.mark.parametrize("name", ["total", "least"])
def test_the_readme_tells_what_the_command_tells(name: str) -> None:
    dollars = f"${estimate('--preset', 'kakaopay')[name]:,.0f}"
    assert dollars in (ROOT / "README.md").read_text()


def test_the_readme_tells_what_each_lever_saves() -> None:
    text = (ROOT / "README.md").read_text()
    for lever in estimate("--preset", "kakaopay")["levers"]:
        assert f"| {lever['saves']:,.0f} |" in text, lever["what"]
