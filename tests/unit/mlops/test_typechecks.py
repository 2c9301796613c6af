"""Type checks that are made at the first call are those that typeguard makes."""

from __future__ import annotations

import inspect

import pytest
from feast import Entity, FeatureView, Field
from feast.types import Int64
from typeguard import TypeCheckError, typechecked

from mlops.typechecks import deferred


class Account:
    """With every kind of member that a class can hold."""

    limit = 3

    def __init__(self, name: str, *, balance: int = 0) -> None:
        self.name, self._balance = name, balance

    @classmethod
    def named(cls, name: str) -> Account:
        return cls(name)

    @staticmethod
    def double(amount: int) -> int:
        return amount * 2

    @property
    def balance(self) -> int:
        """What is left."""
        return self._balance

    @balance.setter
    def balance(self, amount: int) -> None:
        self._balance = amount


WRONG = {
    "the constructor": lambda: Account(1),  # type: ignore[arg-type]
    "a keyword": lambda: Account("a", balance="1"),  # type: ignore[arg-type]
    "a class method": lambda: Account.named(1),  # type: ignore[arg-type]
    "a static method": lambda: Account.double("1"),  # type: ignore[arg-type]
    "a property": lambda: setattr(Account("a"), "balance", "1"),
}

deferred(Account, typechecked)


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_a_wrong_type_is_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(TypeCheckError):
        call()


def test_what_is_right_works_as_without_checks() -> None:
    account = Account.named("a")
    account.balance = Account.double(2)
    assert (account.name, account.balance, account.limit) == ("a", 4, 3)


def test_members_keep_what_is_said_of_them() -> None:
    assert list(inspect.signature(Account).parameters) == ["name", "balance"]
    assert vars(Account)["balance"].__doc__ == "What is left."


def test_a_definition_of_wrong_type_is_refused_by_feast() -> None:
    with pytest.raises(TypeCheckError, match='"name"'):
        Entity(name=1)
    with pytest.raises(TypeCheckError, match='"dtype"'):
        Field(name="a", dtype="Int64")
    assert Field(name="a", dtype=Int64).dtype == Int64


def test_feast_came_without_making_its_checks() -> None:
    assert hasattr(FeatureView.ensure_valid, "__wrapped__")
