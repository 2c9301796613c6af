"""What AWS charges: the table `prices.json`, as of its date and for the regions that it holds.

A table, not a call, so that an estimate of a change is the same tomorrow, and a change of prices
is a change in git. It is no bill: read its `source` before leaning on a sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mlops.errors import NotFound

TABLE = Path(__file__).with_name("prices.json")
HOURS = 730
"""In a month, as AWS counts."""

Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Tier = tuple[Amount | None, Amount]
"""Up to which amount of a month (None is all the rest), and the price of a unit below it."""


class Checked(BaseModel):
    """Which prices were compared, with what, and of which day that is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    on: date
    against: str
    prices: frozenset[str]


class Table(BaseModel):
    """The file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dated: date
    currency: str
    source: str
    checked: dict[str, Checked]
    regions: dict[str, dict[str, Amount | list[Tier]]]


@dataclass(frozen=True)
class Prices:
    """One region's prices; a name says whose it is, and of which unit: `fargate.vcpu_hour`."""

    region: str
    dated: date
    currency: str
    source: str
    table: dict[str, float | list[Tier]]
    checked: Checked | None = None

    def of(self, name: str) -> float:
        """The price of one unit: the first, where it falls with the amount.

        Raises NotFound naming the price and where to write it down.
        """
        price = self._find(name)
        return price if isinstance(price, float) else price[0][1]

    def cost(self, name: str, amount: float) -> float:
        """What so many units of a month cost, tier by tier."""
        price = self._find(name)
        return amount * price if isinstance(price, float) else sum(_by_tier(price, amount))

    def instance_hour(self, instance: str) -> float:
        """An hour of a SageMaker instance, `ml.m5.large` for example."""
        return self.of(f"sagemaker.{instance}.hour")

    def _find(self, name: str) -> float | list[Tier]:
        if name not in self.table:
            raise NotFound(
                f"There is no price '{name}' for {self.region} as of {self.dated}. "
                f"Add it to mlops/{TABLE.name}, with the table's date."
            )
        return self.table[name]


def load_prices(region: str) -> Prices:
    """The region's prices. Raises NotFound naming the regions that the table has."""
    table = _read()
    if region not in table.regions:
        raise NotFound(
            f"There are no prices for region '{region}', only for {', '.join(table.regions)}. "
            f"Add them to mlops/{TABLE.name}, or ask for one of these."
        )
    return Prices(
        region,
        table.dated,
        table.currency,
        table.source,
        table.regions[region],
        table.checked.get(region),
    )


@cache
def _read() -> Table:
    return Table.model_validate_json(TABLE.read_bytes())


def _by_tier(tiers: list[Tier], amount: float) -> Iterator[float]:
    below = 0.0
    for limit, price in tiers:
        upper = amount if limit is None else min(amount, limit)
        yield max(0.0, upper - below) * price
        below = upper
