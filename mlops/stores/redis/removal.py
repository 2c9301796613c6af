"""Removing what is kept online: a view's rows, or a whole project, and nothing else.

Keys are found by SCAN and removed some hundreds at a time, so that Redis serves others in between.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from mlops.stores.redis.client_link import unavailable
from mlops.stores.redis.commands import Command
from mlops.stores.redis.keys import key_prefix, project_prefix, scan_pattern, schemas_key
from mlops.stores.redis.link import Link

_STEP = 500
Progress = Callable[[int], object]


def remove_view(
    link: Link, project: str, view: str, join_keys: Iterable[str], *, progress: Progress = bool
) -> int:
    """Remove the view's rows from the entities with these join keys; how many there were.

    `progress` is told how many keys each step looked at. Raises Unavailable; what is left then is
    removed by doing it again.
    """
    pattern = scan_pattern(key_prefix(project, join_keys))
    field = view.encode()
    return _each(link, pattern, lambda key: ("HDEL", key, field), progress)


def remove_project(link: Link, project: str, *, progress: Progress = bool) -> int:
    """Remove every entity of the project, and its schemas; how many entities there were."""
    pattern = scan_pattern(project_prefix(project))
    removed = _each(link, pattern, lambda key: ("UNLINK", key), progress)
    link.command("UNLINK", schemas_key(project))
    return removed


def _each(
    link: Link, pattern: bytes, command: Callable[[bytes], Command], progress: Progress
) -> int:
    removed = 0
    for keys in _steps(link.scan(pattern)):
        for answer in link.batch([command(key) for key in keys]):
            if isinstance(answer, Exception) and "WRONGTYPE" not in str(answer):
                raise unavailable(link.address, answer) from answer
            removed += answer if isinstance(answer, int) else 0
        progress(len(keys))
    return removed


def _steps(keys: Iterator[bytes]) -> Iterator[Sequence[bytes]]:
    while step := list(itertools.islice(keys, _STEP)):
        yield step
