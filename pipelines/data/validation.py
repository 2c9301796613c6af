"""Checking payments row by row: what fits the schema goes on, the rest is kept with its reasons.

Pure: batches in, batches out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlops.errors import InputError
from pipelines.data.folders import Folders
from pipelines.data.schema import COLUMNS, MONEY, TIME

Mask = npt.NDArray[np.bool_]

_NO_FOLDERS = Folders()

_ZONE = r"(Z|[+-]\d{2}:?\d{2})$"
_TIME = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?)?\s*(Z|[+-]\d{2}:?\d{2})?$"
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_MOST = 1e16
"""Amounts from here on do not fit decimal(18,2)."""
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
"""Before, calendars and zones differ between the systems that write files (Spark's rebasing)."""
_TRUE, _FALSE = ["1", "true", "t", "yes"], ["0", "false", "f", "no"]


@dataclass(frozen=True)
class Rules:
    """What a file's payments are held to."""

    now: datetime
    """Times after this, by the platform's clock, are refused."""
    currency: str
    """The platform's one currency."""
    file_currency: str | None = None
    """The currency of rows that name none."""
    timezone: str | None = None
    """The zone of times that name none."""


@dataclass
class Checked:
    """A batch, divided."""

    good: pa.RecordBatch
    """Declared columns and types, without `created`."""
    bad: pa.RecordBatch
    """The file's own columns as text, `row` (0-based in the file) and `reasons`."""
    reasons: Counter[str]


@dataclass
class _Findings:
    """Reasons by row; a row may have several."""

    rows: int
    by_reason: dict[str, Mask] = field(default_factory=dict)

    def add(self, reason: str, mask: Mask) -> None:
        if mask.any():
            known = self.by_reason.get(reason)
            self.by_reason[reason] = mask if known is None else known | mask

    @property
    def any(self) -> Mask:
        wrong = np.zeros(self.rows, dtype=bool)
        for mask in self.by_reason.values():
            wrong |= mask
        return wrong

    def text(self, rows: Iterable[int]) -> list[str]:
        return [
            "; ".join(reason for reason, mask in self.by_reason.items() if mask[row])
            for row in rows
        ]


def check(
    batch: pa.RecordBatch,
    rules: Rules,
    *,
    columns: dict[str, str],
    first_row: int,
    seen_twice: Callable[[pa.Array], Mask],
    folders: Folders = _NO_FOLDERS,
) -> Checked:
    """Divide a batch into rows that fit and rows that do not.

    columns: the file's name of each declared column that it has.
    seen_twice: marks ids that another row of the file had before.
    folders: what the rows may not contradict.
    """
    findings = _Findings(batch.num_rows)
    values = {
        column.name: _READ[column.name](batch.column(columns[column.name]), rules, findings)
        if column.name in columns
        else pa.nulls(batch.num_rows, column.type)
        for column in COLUMNS
    }
    values["currency"] = _check_currency(values["currency"], rules, findings)
    findings.add("payment_id occurs before in the file", seen_twice(values["payment_id"]))
    zone = rules.timezone or "UTC"
    for reason, rows in folders.contradictions(batch, values["event_time"], zone):
        findings.add(reason, rows)
    wrong = findings.any
    good = pa.RecordBatch.from_arrays(
        [values[c.name] for c in COLUMNS], names=[c.name for c in COLUMNS]
    )
    return Checked(
        good=good.filter(pa.array(~wrong)),
        bad=quarantined(batch, np.flatnonzero(wrong), first_row, findings.text),
        reasons=Counter({reason: int(m.sum()) for reason, m in findings.by_reason.items()}),
    )


def quarantined(
    batch: pa.RecordBatch,
    rows: npt.NDArray[np.int64],
    first_row: int,
    reasons: Callable[[Iterable[int]], list[str]],
) -> pa.RecordBatch:
    """Rows as they came, as text, with their place in the file and what is wrong with them."""
    taken = batch.take(pa.array(rows))
    texts = [_as_text(column) for column in taken.columns]
    return pa.RecordBatch.from_arrays(
        [
            pa.array(rows + first_row, pa.int64()),
            pa.array(reasons(rows), pa.string()),
            *texts,
        ],
        names=["row", "reasons", *batch.schema.names],
    )


def _as_text(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())


def _bools(array: pa.Array) -> Mask:
    """A boolean array as numpy, null as false."""
    mask: Mask = pc.fill_null(array, False).to_numpy(zero_copy_only=False)
    return mask


def _read_key(name: str) -> Callable[[pa.Array, Rules, _Findings], pa.Array]:
    def read(column: pa.Array, _: Rules, findings: _Findings) -> pa.Array:
        column = _plain(column)
        if not (
            pa.types.is_string(column.type)
            or pa.types.is_integer(column.type)
            or pa.types.is_null(column.type)
        ):
            raise _wrong_type(name, column.type, "text or whole numbers")
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
        findings.add(f"{name} is missing", _bools(pc.fill_null(pc.equal(text, ""), True)))
        return text

    return read


def _read_time(column: pa.Array, rules: Rules, findings: _Findings) -> pa.Array:
    column = _plain(column)
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    if pa.types.is_timestamp(column.type):
        times = _typed_time(column, rules)
        findings.add("event_time is missing", _bools(times.is_null()))
    elif pa.types.is_string(column.type):
        times = _parsed_time(column, rules, findings)
    else:
        raise _wrong_type("event_time", column.type, "timestamps or ISO 8601 text")
    late = pc.greater(times, _wall(rules.now))
    findings.add("event_time is in the future", _bools(late))
    findings.add("event_time is before 1900", _bools(pc.less(times, _wall(_EARLIEST))))
    return times


def _wall(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment.replace(tzinfo=None), TIME)


def _typed_time(column: pa.Array, rules: Rules) -> pa.Array:
    if column.type.tz is not None:
        return column.cast(pa.timestamp("ms", tz="UTC"), safe=False).cast(TIME)
    if rules.timezone is None:
        raise InputError(
            "event_time has no time zone in this file. Say which it is, "
            "for example: --timezone UTC."
        )
    return _localized(column.cast(TIME, safe=False), rules.timezone)


def _localized(naive: pa.Array, timezone: str) -> pa.Array:
    """Wall time to UTC; an hour that occurs twice is the first, one that never occurs the next."""
    try:
        zoned = pc.assume_timezone(naive, timezone, ambiguous="earliest", nonexistent="latest")
    except pa.ArrowInvalid as exc:
        raise InputError(
            f"'{timezone}' is no time zone. Use a name of the tz database, "
            "for example --timezone Asia/Seoul."
        ) from exc
    return zoned.cast(pa.timestamp("ms", tz="UTC")).cast(TIME)


def _parsed_time(column: pa.Array, rules: Rules, findings: _Findings) -> pa.Array:
    text = pc.utf8_trim_whitespace(column)
    findings.add("event_time is missing", _bools(pc.fill_null(pc.equal(text, ""), True)))
    shaped = pc.match_substring_regex(text, _TIME)
    zoned = pc.and_(shaped, pc.match_substring_regex(text, _ZONE))
    naive = pc.and_(shaped, pc.invert(zoned))
    times = pa.nulls(len(text), TIME)
    wall, wall_wrong = _instants(pc.if_else(naive, text, None), utc=False)
    zone, zone_wrong = _instants(pc.if_else(zoned, text, None), utc=True)
    if rules.timezone is None:
        findings.add("event_time has no time zone (say which: --timezone)", _bools(naive))
    else:
        times = _localized(wall, rules.timezone)
    no_time = pc.and_(pc.not_equal(text, ""), pc.invert(shaped))
    findings.add("event_time is no time", _bools(no_time) | wall_wrong | zone_wrong)
    return pc.coalesce(zone, times)


def _instants(text: pa.Array, *, utc: bool) -> tuple[pa.Array, Mask]:
    """ISO 8601 text as milliseconds, and which of it names no moment ('2018-02-30')."""
    parsed = pd.to_datetime(text.to_pandas(), errors="coerce", utc=utc, format="ISO8601")
    if utc:
        parsed = parsed.dt.tz_localize(None)
    wrong: Mask = (parsed.isna() & text.is_valid().to_pandas()).to_numpy()
    return pa.Array.from_pandas(parsed.astype("datetime64[ms]"), type=TIME), wrong


def _read_amount(column: pa.Array, _: Rules, findings: _Findings) -> pa.Array:
    column = _plain(column)
    if pa.types.is_string(column.type) or pa.types.is_null(column.type):
        column = column.cast(pa.string())
        numeric = pc.match_substring_regex(column, _NUMBER)
        findings.add("amount is no number", _bools(pc.invert(numeric)))
        column = pc.utf8_trim_whitespace(pc.if_else(numeric, column, None))
    elif not (
        pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
        or pa.types.is_decimal(column.type)
    ):
        raise _wrong_type("amount", column.type, "numbers")
    number = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    missing = _bools(column.is_null())
    finite = np.isfinite(number)
    findings.add("amount is missing", missing & ~_known(findings, "amount is no number"))
    findings.add("amount is no finite number", ~finite & ~missing)
    findings.add("amount is negative", finite & (number < 0))
    findings.add("amount is too large", finite & (np.abs(number) >= _MOST))
    fits = finite & (np.abs(number) < _MOST)
    if pa.types.is_decimal(column.type):
        money, fraction = _exact(pc.if_else(pa.array(fits), column, None))
    else:
        cents = np.where(fits, number, 0.0) * 100
        fraction = np.abs(cents - np.rint(cents)) > np.maximum(1e-6, np.abs(cents) * 1e-12)
        money = _to_money(cents)
    findings.add("amount has more than 2 decimals", fraction)
    return money


def _exact(decimals: pa.Array) -> tuple[pa.Array, Mask]:
    """Decimals as decimal(18,2), and which of them are not whole cents."""
    rounded = pc.round(decimals, ndigits=2)
    return rounded.cast(MONEY), _bools(pc.not_equal(rounded, decimals))


def _to_money(cents: npt.NDArray[np.float64]) -> pa.Array:
    """Whole cents as decimal(18,2)."""
    whole = pa.array(np.rint(cents).astype(np.int64)).cast(pa.decimal128(19, 0))
    return pc.multiply(whole, pa.scalar("0.01").cast(pa.decimal128(3, 2))).cast(MONEY)


def _known(findings: _Findings, reason: str) -> Mask:
    return findings.by_reason.get(reason, np.zeros(findings.rows, dtype=bool))


def _read_currency(column: pa.Array, _: Rules, __: _Findings) -> pa.Array:
    text = pc.utf8_upper(pc.utf8_trim_whitespace(_plain(column).cast(pa.string())))
    return pc.if_else(pc.equal(text, ""), None, text)


def _check_currency(currency: pa.Array, rules: Rules, findings: _Findings) -> pa.Array:
    if rules.file_currency is not None:
        currency = pc.fill_null(currency, rules.file_currency)
    findings.add("currency is missing (say which: --currency)", _bools(currency.is_null()))
    foreign = pc.not_equal(currency, rules.currency)
    findings.add(f"currency is not {rules.currency}", _bools(foreign))
    return currency


def _read_flag(column: pa.Array, _: Rules, findings: _Findings) -> pa.Array:
    column = _plain(column)
    if pa.types.is_floating(column.type):
        raise _wrong_type("is_fraud", column.type, "true/false or 0/1")
    text = pc.utf8_lower(pc.utf8_trim_whitespace(column.cast(pa.string())))
    yes, no = (pc.is_in(text, value_set=pa.array(words)) for words in (_TRUE, _FALSE))
    findings.add("is_fraud is missing", _bools(text.is_null()))
    findings.add(
        "is_fraud is neither true nor false",
        _bools(text.is_valid()) & ~_bools(yes) & ~_bools(no),
    )
    return yes


def _read_scenario(column: pa.Array, _: Rules, findings: _Findings) -> pa.Array:
    column = _plain(column)
    if pa.types.is_integer(column.type):
        return column.cast(pa.int32(), safe=False)
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    whole = pc.match_substring_regex(text, r"^\d{1,9}$")
    given = pc.fill_null(pc.not_equal(text, ""), False)
    findings.add("fraud_scenario is no whole number", _bools(pc.and_(given, pc.invert(whole))))
    return pc.if_else(whole, text, None).cast(pa.int32())


def _plain(column: pa.Array) -> pa.Array:
    """Without dictionary encoding and wide strings."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    return column


def _wrong_type(name: str, found: pa.DataType, wanted: str) -> InputError:
    return InputError(f"Column {name} holds {found}, but must hold {wanted}. Convert it first.")


_READ: dict[str, Callable[[pa.Array, Rules, _Findings], pa.Array]] = {
    "payment_id": _read_key("payment_id"),
    "event_time": _read_time,
    "customer_id": _read_key("customer_id"),
    "terminal_id": _read_key("terminal_id"),
    "amount": _read_amount,
    "currency": _read_currency,
    "is_fraud": _read_flag,
    "fraud_scenario": _read_scenario,
}
