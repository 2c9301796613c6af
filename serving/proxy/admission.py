"""How many predictions may be under way: one more is refused at once, instead of waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from serving.errors import Overloaded


@dataclass
class Admission:
    """A bounded number of requests under way."""

    most: int
    under_way: int = 0

    @contextmanager
    def entry(self) -> Iterator[None]:
        """Around a request. Raises Overloaded at once where the bound is reached."""
        if self.under_way >= self.most:
            raise Overloaded(
                f"{self.under_way} predictions are under way already.",
                remedy="Try again after a second; operators start more proxies.",
            )
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    @property
    def is_busy(self) -> bool:
        """Whether what can be left undone should be."""
        return self.under_way * 4 > self.most
