"""What the demo tells: a line for each step, tables at the end, and `build/demo.json`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from infra.local.published import METRICS, Days
from mlops.cli.console import err, out, print_table

T = TypeVar("T")


@dataclass
class Report:
    """What `build/demo.json` says: the steps, and what came of them."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def step(
        self,
        name: str,
        work: Callable[[], T],
        told: Callable[[T], str],
        *,
        rows: Callable[[T], int] | None = None,
    ) -> T:
        """Do one step: a line when it begins, a line and an entry when it is done."""
        err.print(f"{name} …", style="bold", highlight=False)
        start = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - start
        self.steps.append(
            {"name": name, "seconds": round(seconds, 2), "rows": rows(result) if rows else None}
        )
        out.print(f"  ✓ {told(result)} ({seconds:.1f} s)", highlight=False, soft_wrap=True)
        return result

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"steps": self.steps, **self.facts}, indent=2) + "\n")


def show(report: Report, days: Days, *, model: str) -> None:
    metrics, approval = report.facts["metrics"], report.facts["approval"]
    published = days.published.results if days.published else {}
    ours = (f"ours: {model} {report.facts['model_version']}", tuple(metrics[m] for m in METRICS))
    print_table(
        ("model", *METRICS),
        [
            (name, *(f"{value:.3f}" for value in values))
            for name, values in (ours, *published.items())
        ],
        title=f"Metrics on {metrics['test_rows']:,.0f} payments after the training weeks"
        + (f", beside {days.published.name}" if days.published else ""),
    )
    print_table(
        ("approved by", "from", "to", "why", "record"),
        [[approval[k] for k in ("who", "from", "to", "reason")] + [approval["hash"][:12]]],
        title="The approval on record",
    )
    scored = report.facts["scored_payment"]
    prediction = scored["answer"]["predictions"][0]
    print_table(
        ("feature", "value", "status"),
        [
            (name, feature.get("value"), feature["status"])
            for name, feature in prediction["features"].items()
        ],
        title=f"Payment {scored['payment']['payment_id']} scores {prediction['score']:.4f} "
        f"(fraud: {scored['payment']['is_fraud']}), read for it:",
    )
