"""Exact division of decimals: the engine's own goes by way of doubles."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal

from infra.local.athena.types import Type, duck

_DIGITS = 37
"""What a HUGEINT holds twice over."""
_ENOUGH = Context(prec=120, rounding=ROUND_HALF_UP)


def quotient(dividend: str, a: Type, divisor: str, b: Type, kind: Type) -> str:
    """SQL of a / b in the decimal `kind`, half rounded away from zero.

    dividend, divisor: SQL of the decimals `a` and `b`; the divisor is not zero.
    """
    (p1, _), (p2, s2), (precision, scale) = a.digits, b.digits, kind.digits
    if max(p1 + scale + s2, p2 + s2, precision + scale) >= _DIGITS:
        return by_text(dividend, divisor, kind)
    whole = f"DECIMAL({precision},0)"
    unit = f"CAST('{Decimal(1).scaleb(-scale):f}' AS DECIMAL({scale + 1},{scale}))"
    n, d = _integer(dividend, a, scale + s2), _integer(divisor, b, s2)
    return f"CAST(CAST(athena_half_up({n}, {d}) AS {whole}) * {unit} AS {duck(kind)})"


def by_text(dividend: str, divisor: str, kind: Type) -> str:
    """The same for numbers of any size, slower."""
    numbers = f"CAST({dividend} AS VARCHAR), CAST({divisor} AS VARCHAR)"
    return f"CAST(athena_divided({numbers}, {kind.digits[1]}) AS {duck(kind)})"


def divided(dividend: str, divisor: str, scale: int) -> str:
    """What the engine calls for it."""
    exact = _ENOUGH.divide(Decimal(dividend), Decimal(divisor))
    return f"{exact.quantize(Decimal(1).scaleb(-scale), context=_ENOUGH):f}"


def roomy(sql: str, kind: Type) -> str:
    """The decimal where its products have room: the engine gives short ones 18 digits."""
    return f"CAST({sql} AS DECIMAL(38,{kind.digits[1]}))"


def _integer(sql: str, kind: Type, digits: int) -> str:
    shift = f"CAST({10**digits} AS DECIMAL({digits + 1},0))"
    return f"CAST({roomy(sql, kind)} * {shift} AS HUGEINT)"
