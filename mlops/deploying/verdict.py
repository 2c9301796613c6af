"""Whether a version on trial keeps its bounds: pure, from what proxies counted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlops.deploying.figures import Figures
from mlops.strategy import Bounds

SURE = 2.58
"""Standard deviations of a two-sided confidence of 99 %."""
UNSURE = 0.01
"""What is left of that confidence."""
FEW = 30
"""Answers below which even failures alone allow no verdict."""


@dataclass(frozen=True)
class Verdict:
    """What leaves its bounds, and what is not yet known; a sentence each."""

    out: tuple[str, ...] = ()
    waits: str = ""

    @property
    def says(self) -> str:
        return "; ".join(self.out) or self.waits or "within its bounds"


def judge(trial: Figures, stable: Figures, bounds: Bounds) -> Verdict:
    """Failures are judged early, latency and scores once there are answers enough.

    trial, stable: of the same stage.
    """
    out = [_failures(trial, stable, bounds)]
    waits = ""
    if trial.answers < bounds.min_answers:
        waits = f"waits for {bounds.min_answers} answers, has {trial.answers}"
    elif trial.answers:
        out += [_latency(trial, stable, bounds), _scores(trial, stable, bounds)]
    return Verdict(tuple(filter(None, out)), waits)


def _failures(trial: Figures, stable: Figures, bounds: Bounds) -> str:
    """Out where even the least share that the count leaves likely is too large."""
    if trial.answers < max(1, min(FEW, bounds.min_answers)):
        return ""
    allowed = stable.failed_share + bounds.failed_share
    if least_share(trial.failed, trial.answers) <= allowed:
        return ""
    codes = ", ".join(f"{code} {count}" for code, count in sorted(trial.failures.items()))
    return (
        f"{trial.failed_share:.1%} of {trial.answers} answers failed ({codes}), "
        f"of the stable version's {stable.failed_share:.1%} of {stable.answers}"
    )


def _latency(trial: Figures, stable: Figures, bounds: Bounds) -> str:
    """Held to a time of its own as well: what slows both versions hides in their ratio."""
    found, beside = trial.p95_ms, stable.p95_ms
    if found is None:
        return ""
    surely = trial.quantile_ms(least_level(0.95, trial.requests)) or 0.0
    if bounds.latency_ms is not None and surely > bounds.latency_ms:
        other = "" if beside is None else f", the stable version's within {beside:.3g} ms"
        return (
            f"95 % are answered within {found:.3g} ms{other}; "
            f"{bounds.latency_ms:.3g} ms are allowed whatever the stable version takes"
        )
    if beside is None or stable.answers < bounds.min_answers:
        return ""
    allowed = beside * bounds.latency_ratio + bounds.latency_slack_ms
    if surely <= allowed:
        return ""
    return (
        f"95 % are answered within {found:.3g} ms, the stable version's within {beside:.3g} ms; "
        f"{allowed:.3g} ms are allowed"
    )


def _scores(trial: Figures, stable: Figures, bounds: Bounds) -> str:
    """What both versions show is the traffic's doing, and what few answers show is chance's."""
    found = trial.score_shift
    beside = stable.score_shift if stable.answers >= bounds.min_answers else None
    if found is None:
        return ""
    counts = [sum(trial.scores)] + ([] if beside is None else [sum(stable.scores)])
    if found - (beside or 0.0) - chance_shift(*counts) <= bounds.score_shift:
        return ""
    by = "" if beside is None else f", the stable version's by {beside:.2f}"
    return (
        f"its scores differ from its reference by {found:.2f} (KS){by}; "
        f"{bounds.score_shift:.2f} more is allowed, and {chance_shift(*counts):.2f} "
        "that chance makes of so few"
    )


def least_level(level: float, count: int) -> float:
    """The share of the values seen that surely lies below a quantile of those to come.

    The number seen below the quantile is binomial; this is the lower end of it, at least 0.
    """
    return max(0.0, level - SURE * math.sqrt(level * (1 - level) / count)) if count else level


def chance_shift(*counts: int) -> float:
    """The KS distance that samples of these sizes hardly exceed where nothing has shifted.

    The bound of Dvoretzky, Kiefer and Wolfowitz with Massart's constant, at 99 %; of two samples
    the deviations add as independent ones do.
    """
    return math.sqrt(math.log(2 / UNSURE) / 2 * sum(1 / count for count in counts))


def least_share(part: int, whole: int) -> float:
    """The lower end of Wilson's interval: the share may well be larger, and hardly smaller."""
    share, z2 = part / whole, SURE**2
    middle = share + z2 / (2 * whole)
    reach = SURE * math.sqrt(share * (1 - share) / whole + z2 / (4 * whole**2))
    return max(0.0, (middle - reach) / (1 + z2 / whole))
