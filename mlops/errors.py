"""Every error the platform raises on purpose.

    MlopsError                 exit 1
    ├── JobFailed              exit 1   a job, query or execution ended in failure
    ├── InputError             exit 2   what the user gave is wrong
    ├── SettingsError          exit 3   the environment is incomplete or contradictory
    ├── NotFound               exit 4   the named thing does not exist
    ├── Refused                exit 5   a rule forbids it
    ├── Conflict               exit 6   it changed meanwhile, or is held by someone else
    └── Unavailable            exit 7   a service does not answer

Foreign exceptions are translated into these once, at the adapter, with ``from exc``.
A message says what failed, for which thing, and what to do next.
"""

from __future__ import annotations

from typing import ClassVar


class MlopsError(Exception):
    """Any failure that a user can read and act on."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "failed"


class JobFailed(MlopsError):
    """A job, query or execution ended in failure; the message carries its cause."""

    code = "job_failed"


class InputError(MlopsError):
    """A file, row, body or argument is wrong; the message names the part."""

    exit_code = 2
    code = "invalid_input"


class SettingsError(MlopsError):
    """Settings are missing or contradict each other; the message lists all of them."""

    exit_code = 3
    code = "settings"


class NotFound(MlopsError):
    """The named thing does not exist."""

    exit_code = 4
    code = "not_found"


class Refused(MlopsError):
    """A rule forbids it; the message names the rule and who may lift it."""

    exit_code = 5
    code = "refused"


class Conflict(MlopsError):
    """It changed since it was read, exists already, or someone else holds it."""

    exit_code = 6
    code = "conflict"


class Unavailable(MlopsError):
    """A service does not answer; trying again later may help."""

    exit_code = 7
    code = "unavailable"
