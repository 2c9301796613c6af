"""Trino's functions of text that the engine lacks: searching, sounding, URLs."""

from __future__ import annotations

import itertools
import re
import unicodedata
from datetime import UTC, date, datetime
from statistics import NormalDist
from urllib.parse import quote_plus, unquote_plus

from infra.local.athena.formatting import invalid

_URL = re.compile(r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_HOST = re.compile(r"(?:[^@]*@)?(\[[^\]]*\]|[^:]*)(?::(\d*))?")
_SOUNDS = {
    letter: digit
    for digit, letters in enumerate(("bfpv", "cgjkqsxz", "dt", "l", "mn", "r"), start=1)
    for letter in letters
}


def nth_position(text: str, part: str, instance: int) -> int:
    """Where the n-th occurrence starts, counted from the end when n is negative; 0 for none."""
    if instance == 0:
        raise invalid("'instance' must not be a positive or negative number.")
    if not part:
        return 1
    found = -1 if instance > 0 else len(text)
    for _ in range(abs(instance)):
        found = text.find(part, found + 1) if instance > 0 else text.rfind(part, 0, max(found, 0))
        if found < 0:
            return 0
    return found + 1


def hamming(first: str, second: str) -> int:
    if len(first) != len(second):
        raise invalid("The input strings to hamming_distance function must have the same length")
    return sum(a != b for a, b in zip(first, second, strict=True))


def levenshtein(first: str, second: str) -> int:
    """Insertions, deletions and substitutions of characters between two texts."""
    distances = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        before, distances[0] = distances[0], i
        for j, b in enumerate(second, start=1):
            changed = before + (a != b)
            before = distances[j]
            distances[j] = min(changed, distances[j] + 1, distances[j - 1] + 1)
    return distances[-1]


def split_limited(text: str, delimiter: str, limit: int) -> list[str]:
    if limit <= 0:
        raise invalid("Limit must be positive")
    if not delimiter:
        raise invalid("The delimiter may not be the empty string")
    return text.split(delimiter, limit - 1)


def soundex(text: str) -> str:
    """American Soundex: a letter and three digits."""
    letters = [c for c in text.lower() if c.isalpha()]
    if not letters:
        return ""
    code, last = letters[0].upper(), _SOUNDS.get(letters[0])
    for letter in letters[1:]:
        sound = _SOUNDS.get(letter)
        if sound and sound != last:
            code += str(sound)
        if letter not in "hw":
            last = sound
    return code[:4].ljust(4, "0")


def luhn_check(digits: str) -> bool:
    if not digits.isdigit():
        raise invalid(f"Invalid input of non-digit characters: {digits}")
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def normalize(text: str, form: str) -> str:
    if form not in {"NFC", "NFD", "NFKC", "NFKD"}:
        raise invalid(f"Normalization form must be one of [NFD, NFC, NFKD, NFKC], not {form}")
    return unicodedata.normalize(form, text)  # type: ignore[arg-type]  # one of the four


def url_part(url: str, part: str) -> str:
    """protocol, host, port, path, query or fragment; '' where there is none."""
    found = _URL.fullmatch(url)
    if found is None or re.search(r"[\s<>\"{}|\\^`]", url):
        return ""
    host = _HOST.fullmatch(found[2] or "")
    parts = {
        "protocol": found[1],
        "host": host[1] if host else "",
        "port": host[2] if host else "",
        "path": unquote_path(found[3]),
        "query": found[4],
        "fragment": found[5],
    }
    return parts[part] or ""


def unquote_path(path: str) -> str:
    return unquote_plus(path.replace("+", "%2B"))


def url_parameter(url: str, name: str) -> list[str]:
    """The first value of a query's parameter, as a list of none or one."""
    for pair in url_part(url, "query").split("&"):
        key, _, value = pair.partition("=")
        if pair and unquote_plus(key) == name:
            return [unquote_plus(value)]
    return []


def url_encode(text: str) -> str:
    return quote_plus(text, safe="*").replace("~", "%7E")


def url_decode(text: str) -> str:
    return unquote_plus(text)


def normal_cdf(mean: float, deviation: float, value: float) -> float:
    _check_deviation(deviation)
    return NormalDist(mean, deviation).cdf(value)


def inverse_normal_cdf(mean: float, deviation: float, probability: float) -> float:
    _check_deviation(deviation)
    if not 0 < probability < 1:
        raise invalid("p must be 0 > p > 1")
    return NormalDist(mean, deviation).inv_cdf(probability)


def _check_deviation(deviation: float) -> None:
    if deviation <= 0:
        raise invalid("standardDeviation must be > 0")


_ISO_DATE = re.compile(r"(\d{4})-(?:(\d\d)-(\d\d)|W(\d\d)(?:-(\d))?|(\d{3}))")


def iso_date(text: str) -> date:
    """A calendar date, a week (2020-W10, 2020-W10-3), or a day of the year (2020-123)."""
    found = _ISO_DATE.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)  # noqa: TRY301 - one complaint for all of it
        year, month, day, week, weekday, ordinal = found.groups()
        if month:
            return date(int(year), int(month), int(day))
        if week:
            return date.fromisocalendar(int(year), int(week), int(weekday or 1))
        return datetime.strptime(f"{year}-{ordinal}", "%Y-%j").replace(tzinfo=UTC).date()
    except ValueError as exc:
        raise invalid(f'Invalid format: "{text}"') from exc


def combinations(size: int, length: int) -> list[list[int]]:
    """Positions, counted from 1, of every group of that length."""
    if not 0 <= length <= 5:
        raise invalid("combination size must not exceed 5")
    return [list(one) for one in itertools.combinations(range(1, size + 1), length)]


def weighted_percentile(values: list[float], weights: list[float], part: float) -> float:
    """The value below which a part of all weight lies."""
    pairs = sorted(zip(values, weights, strict=True))
    reached, total = 0.0, sum(weights)
    for value, weight in pairs:
        reached += weight
        if reached >= part * total:
            return value
    return pairs[-1][0]
