"""How many predictions may be under way: one more is refused at once, instead of waiting."""

from __future__ import annotations

from dataclasses import dataclass

from serving.errors import Overloaded


@dataclass
class Admission:
    """A bounded number of requests under way."""

    most: int
    under_way: int = 0

    def entry(self) -> Entry:
        """Around a request. Raises Overloaded at once where the bound is reached."""
        return Entry(self)

    @property
    def is_busy(self) -> bool:
        """Whether what can be left undone should be."""
        return self.under_way * 4 > self.most


class Entry:
    """One request under way."""

    __slots__ = ("_admission",)

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def __enter__(self) -> None:
        admission = self._admission
        if admission.under_way >= admission.most:
            raise Overloaded(
                f"{admission.under_way} predictions are under way already.",
                remedy="Try again after a second; operators start more proxies.",
            )
        admission.under_way += 1

    def __exit__(self, *_: object) -> None:
        self._admission.under_way -= 1
