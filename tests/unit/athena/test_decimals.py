"""Division of decimals against Python's own."""

from __future__ import annotations

import random
from decimal import ROUND_HALF_UP, Decimal, localcontext

import duckdb

from infra.local.athena.decimals import quotient
from infra.local.athena.extensions import extend
from infra.local.athena.operators import decimal_result
from infra.local.athena.types import Type, decimal, duck


def test_every_quotient_is_exact_and_rounds_half_away_from_zero() -> None:
    connection = duckdb.connect(config={"threads": 1})
    extend(connection)
    draw = random.Random(7)
    cases = [_case(draw) for _ in range(400)]
    row = connection.sql(f"SELECT {', '.join(sql for sql, _ in cases)}").fetchone()
    assert row is not None
    assert list(row) == [expected for _, expected in cases]


def _case(draw: random.Random) -> tuple[str, Decimal]:
    kinds = [_kind(draw), _kind(draw)]
    a, b = (_number(draw, kind) for kind in kinds)
    result = decimal_result("/", *kinds)
    with localcontext(prec=100):
        expected = (a / b).quantize(Decimal(1).scaleb(-result.digits[1]), ROUND_HALF_UP)
    if len(expected.as_tuple().digits) > result.digits[0]:
        return _case(draw)
    x, y = (f"CAST('{n:f}' AS {duck(k)})" for n, k in zip((a, b), kinds, strict=True))
    return quotient(x, kinds[0], y, kinds[1], result), expected


def _kind(draw: random.Random) -> Type:
    precision = draw.choice((3, 9, 18, 30, 38))
    return decimal(precision, draw.randint(0, min(precision, 12)))


def _number(draw: random.Random, kind: Type) -> Decimal:
    precision, scale = kind.digits
    digits = draw.randint(1, precision)
    return Decimal(draw.choice((-1, 1)) * draw.randrange(1, 10**digits)).scaleb(-scale)
