"""A month's estimate, what it would be otherwise, and what was published for the same load."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from pydantic import BaseModel, ConfigDict

from infra.cost.components import Bill, Line
from infra.cost.load import Load
from infra.cost.sizes import Choices, sizes_of
from mlops.prices import Prices


class Lever(BaseModel):
    """One way to pay less, alone; the rest as it is."""

    model_config = ConfigDict(frozen=True)

    what: str
    price: str
    """What is given up for it."""
    dollars: float
    """The month with it."""
    saves: float


class Estimate(BaseModel):
    """A month at one load."""

    model_config = ConfigDict(frozen=True)

    region: str
    prices_of: date
    prices_from: str
    currency: str
    load: Load
    lines: tuple[Line, ...]
    total: float
    published: float | None = None
    """What somebody else said to pay for this load."""
    levers: tuple[Lever, ...] = ()
    least: float
    """The month with all levers."""

    def by_component(self) -> dict[str, float]:
        sums: dict[str, float] = {}
        for line in self.lines:
            sums[line.component] = sums.get(line.component, 0.0) + line.dollars
        return sums


@dataclass(frozen=True)
class _Option:
    what: str
    price: str
    changed: dict[str, object]

    def of(self, choices: Choices) -> Choices:
        return replace(choices, **self.changed)  # type: ignore[arg-type]  # fields of Choices


def estimate_month(
    load: Load, choices: Choices, prices: Prices, *, published: float | None = None
) -> Estimate:
    """Price the load as the choices stand, and with each of the levers that they leave."""
    lines = _lines(load, choices, prices)
    total = _total(lines)
    levers, cheapest = [], choices
    for option in _options(choices):
        dollars = _total(_lines(load, option.of(choices), prices))
        if dollars < total:
            saves = total - dollars
            levers.append(Lever(what=option.what, price=option.price, dollars=dollars, saves=saves))
            cheapest = option.of(cheapest)
    return Estimate(
        region=prices.region,
        prices_of=prices.dated,
        prices_from=prices.source,
        currency=prices.currency,
        load=load,
        lines=tuple(lines),
        total=total,
        published=published,
        levers=tuple(sorted(levers, key=lambda lever: -lever.saves)),
        least=_total(_lines(load, cheapest, prices)),
    )


def _options(choices: Choices) -> list[_Option]:
    options = [
        _Option(
            "leave access lines of requests out of the log",
            "metrics and errors stay; a single request is found in traces only",
            {"access_logged": False},
        ),
        _Option(
            "move four fifths of S3 to infrequent access",
            "a scan pays by the GB that it fetches from there; this is with every scan of it",
            {"infrequent_share": 0.8},
        ),
        _Option(
            "count rows as packed, where the load is of Feast's own layout",
            "none: bytes-50-used is 65% of Feast's (docs/online-format.md)",
            {"row_ratio": 0.65},
        ),
    ]
    if choices.replicas > 1:
        options.append(
            _Option(
                "keep one Redis replica for each shard",
                "while a failed node is replaced its shard has no second copy",
                {"replicas": 1},
            )
        )
    return options


def _lines(load: Load, choices: Choices, prices: Prices) -> list[Line]:
    return Bill(prices, load, choices, sizes_of(load, choices)).lines()


def _total(lines: list[Line]) -> float:
    return sum(line.dollars for line in lines)
