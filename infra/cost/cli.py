"""`mlops cost`: what a month costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli.console import json_option, out, print_json, print_table

if TYPE_CHECKING:
    from infra.cost.estimate import Estimate
    from infra.cost.load import Load

_PRESETS = ("kakaopay", "start")
_NUMBER = click.FloatRange(min=0)
_SHOWN = 0.005
"""Lines of less are in the sums and in the JSON only."""


@click.group()
def cost() -> None:
    """Say what the platform costs.

    \b
    Examples:
      mlops cost estimate --preset kakaopay
      mlops cost prices
    """


@cost.command()
@click.option("--preset", type=click.Choice(_PRESETS), help="A load to start from.")
@click.option(
    "--load",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A load as JSON, in place of a preset.",
)
@click.option("--offline-tb", type=_NUMBER, help="TB in S3.")
@click.option("--online-gb", type=_NUMBER, help="GB of rows in Redis, once.")
@click.option("--reads-per-day", type=_NUMBER, help="Feature reads of one entity.")
@click.option("--predictions-per-day", type=_NUMBER, help="Scores by ids.")
@click.option("--trainings-per-month", type=_NUMBER, help="Runs of training workflows.")
@click.option(
    "--env",
    type=click.Choice(["local", "dev", "stage", "prod"]),
    default="prod",
    show_default=True,
    help="Whose nodes, replicas and retentions; 'local' has a Redis of its own.",
)
@click.option("--region", default="ap-northeast-2", show_default=True, help="Whose prices.")
@json_option
def estimate(  # one parameter for each option
    preset: str | None,
    file: Path | None,
    env: str,
    region: str,
    as_json: bool,
    **numbers: float | None,
) -> None:
    """Price a month of a load by component, from the table of prices in the repository.

    A load file holds any of the load's numbers as 'mlops cost estimate --json' prints them under
    "load". No AWS is asked, and nothing is billed by what this says: the prices are of their date.

    \b
    Examples:
      mlops cost estimate --preset kakaopay
      mlops cost estimate --offline-tb 5 --online-gb 20 --reads-per-day 8000000
      mlops cost estimate --load load.json --env dev --json
    """
    from infra.cost.estimate import estimate_month
    from infra.cost.load import PUBLISHED
    from infra.cost.sizes import choices_of
    from infra.stacks.profile import profile_of
    from mlops.prices import load_prices

    given = {name: value for name, value in numbers.items() if value is not None}
    load = _load(preset, file, given)
    published = PUBLISHED.get(preset or "") if not given else None
    found = estimate_month(
        load, choices_of(profile_of(env)), load_prices(region), published=published
    )
    if as_json:
        print_json(found)
    else:
        _show(found)


def _load(preset: str | None, file: Path | None, given: dict[str, float]) -> Load:
    from infra.cost.load import PRESETS, complete, read_load
    from mlops.errors import InputError

    if preset and file:
        raise InputError("--preset and --load are two loads; give one of them.")
    if file:
        return complete(read_load(file).model_dump(), given)
    return complete(PRESETS[preset].model_dump() if preset else {}, given)


@cost.command()
@click.option("--region", default="ap-northeast-2", show_default=True)
@json_option
def prices(region: str, as_json: bool) -> None:
    """Print the table of prices, with its date, where it is from, and which were checked.

    \b
    Example:
      mlops cost prices --json
    """
    from mlops.prices import load_prices

    found = load_prices(region)
    if as_json:
        told = {"region": found.region, "dated": found.dated, "currency": found.currency}
        print_json(told | {"source": found.source, "checked": found.checked, "prices": found.table})
        return
    checked = found.checked.prices if found.checked else frozenset()
    print_table(
        ("price", found.currency, "checked"),
        ((n, _told(p), "yes" if n in checked else "") for n, p in found.table.items()),
    )
    out.print(f"{found.region}, {found.dated}: {found.source}", soft_wrap=True, highlight=False)
    if found.checked is not None:
        out.print(
            f"Checked, as of {found.checked.on}: {found.checked.against}",
            soft_wrap=True,
            highlight=False,
        )


def _told(price: float | list[tuple[float | None, float]]) -> str:
    if isinstance(price, float):
        return f"{price:.10g}"
    return ", ".join(
        f"{each:.10g}" + (f" up to {limit:,.0f}" if limit else " beyond") for limit, each in price
    )


def _show(found: Estimate) -> None:
    sums = found.by_component()
    rows = [
        (line.component, line.item, f"{line.amount:,.2f}", line.price, f"{line.dollars:,.2f}")
        for line in found.lines
        if line.dollars >= _SHOWN
    ]
    print_table(("component", "what", "amount", "price", "a month"), rows)
    print_table(
        ("component", f"{found.currency} a month"),
        [
            *((n, f"{sums[n]:,.2f}") for n in sorted(sums, key=lambda n: -sums[n])),
            ("all", f"{found.total:,.2f}"),
        ],
    )
    if found.published is not None:
        print_table(
            ("for this load", f"{found.currency} a month"),
            [
                ("as published by who has it", f"{found.published:,.0f}"),
                ("this platform, as the profile says", f"{found.total:,.0f}"),
                ("this platform, with all of the below", f"{found.least:,.0f}"),
            ],
        )
    print_table(
        ("what would make it less", "given up for it", "saves", "a month"),
        [
            (lever.what, lever.price, f"{lever.saves:,.0f}", f"{lever.dollars:,.0f}")
            for lever in found.levers
        ],
    )
    out.print(
        f"Prices of {found.region} as of {found.prices_of}: {found.prices_from}.",
        soft_wrap=True,
        highlight=False,
    )
