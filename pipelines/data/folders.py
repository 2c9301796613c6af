"""What Hive-style folders (`day=2025-05-01/currency=EUR/`) say of the rows below them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mlops.errors import InputError

_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Folders:
    """Columns by name, with the value that all rows of a file have; None for Hive's null."""

    values: Mapping[str, str | None] = field(default_factory=dict)
    day_key: str | None = None
    """The column that names the day of the event times, if one does."""

    def contradictions(
        self, batch: pa.RecordBatch, times: pa.Array, zone: str
    ) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
        """Reasons, with the rows to which they apply.

        times: event times in UTC, null where there is none; zone: whose days the folders name.
        """
        names = {name.lower(): name for name in reversed(batch.schema.names)}
        for key, value in self.values.items():
            if (name := names.get(key.lower())) is not None:
                yield f"{key} is not what the folder says", _differs(batch.column(name), value)
            if key == self.day_key and value is not None:
                wrong = pc.not_equal(_days(times, zone), _day(key, value))
                reason = f"event_time is not on the day of the folder ({zone})"
                yield reason, pc.fill_null(wrong, False).to_numpy(zero_copy_only=False)


def parse_folders(path: str) -> dict[str, str | None]:
    """The key=value folders of a file's path, decoded; the innermost of a name counts."""
    pairs = (part.partition("=") for part in path.split("/")[:-1])
    return {
        unquote(key): None if value == _NULL else unquote(value)
        for key, separator, value in pairs
        if separator and key
    }


def _differs(column: pa.Array, value: str | None) -> npt.NDArray[np.bool_]:
    if value is None:
        wrong = column.is_valid()
    else:
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
        if pa.types.is_integer(column.type) and value.isdecimal():
            value = str(int(value))
        wrong = pc.fill_null(pc.not_equal(text, value), True)
    found: npt.NDArray[np.bool_] = wrong.to_numpy(zero_copy_only=False)
    return found


def _days(times: pa.Array, zone: str) -> pa.Array:
    local = times.cast(pa.timestamp("ms", tz="UTC")).cast(pa.timestamp("ms", tz=zone))
    return pc.strftime(local, format="%Y-%m-%d")


def _day(key: str, value: str) -> str:
    try:
        return str(date.fromisoformat(value))
    except ValueError as exc:
        raise InputError(
            f"Its folder {key}={value} names no day. Say which folder does: --day-folder NAME, "
            "or --day-folder '' if none does."
        ) from exc
