"""The demo: what a person would type, from raw payments to a served fraud score.

It runs the `mlops` command and nothing else, each step as the role whose work it is, so that
what it shows is what a user gets. It leaves nothing running that did not run before.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from infra.local import lifecycle, serving
from infra.local.lifecycle import LocalAws
from infra.local.payments import choose_payment, score_payment
from infra.local.published import Days, choose_days
from infra.local.report import Report, show
from infra.local.settings import STATE
from mlops.cli.console import err
from mlops.errors import JobFailed, MlopsError
from mlops.names import Role

MODEL = "fraud"
CALLER = "demo"
REPORT = Path("build/demo.json")
_MLOPS = str(Path(sys.executable).with_name("mlops"))
_KEPT = ("PATH", "HOME", "LANG", "TERM", "COLUMNS", "TMPDIR")

# The model's own thresholds are for the handbook's payments; a small simulated world, or a user's
# own payments, may be harder, and the demo is to show an approval.
EASY = {"auc_roc": 0.6, "average_precision": 0.1, "card_precision_100": 0.02}


@dataclass(frozen=True)
class Source:
    """The payments to show it on: simulated, or the user's file."""

    file: Path | None
    timezone: str
    currency: str

    @property
    def state(self) -> Path:
        """A local AWS for each file, so that payments of several never mix."""
        return STATE if self.file is None else STATE.with_name(self.file.stem)

    @property
    def command(self) -> list[str]:
        if self.file is None:
            return ["data", "simulate"]
        zone = ["--timezone", self.timezone, "--currency", self.currency]
        return ["data", "import", str(self.file), *zone]


@dataclass(frozen=True)
class Demo:
    """The steps, on one local AWS."""

    local: LocalAws
    report: Report

    def mlops(self, *arguments: str, role: Role | None, clock: datetime | None = None) -> Any:
        """Run one command as a role and read its JSON; its progress is shown as it goes."""
        prefix = ["--clock", clock.isoformat()] if clock else []
        done = subprocess.run(  # noqa: S603 - our own command, our own arguments
            [_MLOPS, *prefix, *arguments, "--json"],
            env=_environment() | self.local.environment(role),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            command = shlex.join(["mlops", *prefix, *arguments])
            raise JobFailed(f"'{command}' ended with exit code {done.returncode}.")
        return json.loads(done.stdout) if done.stdout else None

    def prepare(self) -> None:
        self.report.step(
            "Deploy the infrastructure",
            lambda: self.mlops("infra", "deploy", role=None),
            lambda found: f"{len(found['changes'])} resources changed by CloudFormation",
        )

    def load_payments(self, source: Source) -> Days:
        report = self.report.step(
            "Import the payments" if source.file else "Simulate payments",
            lambda: self.mlops(*source.command, role=Role.JENKINS),
            _tell_import,
            rows=lambda found: int(found["manifest"]["rows_imported"]),
        )
        found = report["manifest"]
        first, last = (date.fromisoformat(found["days"][i]) for i in (0, -1))
        self.report.facts["payments"] = {
            name: found[name] for name in ("file", "rows_imported", "rows_refused", "reasons")
        } | {"first_day": str(first), "last_day": str(last)}
        return choose_days(found["rows_imported"], first, last)

    def make_features(self, days: Days) -> None:
        self.report.step(
            "Apply the feature definitions",
            lambda: self.mlops("features", "apply", role=Role.JENKINS),
            lambda found: f"{len(found['changes'])} definitions changed in the Feast registry",
        )
        self.report.step(
            "Build the feature tables in Athena",
            lambda: self.mlops("features", "build", role=Role.JENKINS, clock=days.trained),
            _tell_builds,
            rows=lambda found: sum(table["rows"] or 0 for table in found),
        )
        self.report.step(
            "Load the features into Redis",
            lambda: self.mlops("features", "upsync", role=Role.JENKINS, clock=days.scored),
            lambda found: f"what was published by {days.scored:%Y-%m-%d %H:%M} UTC",
            rows=lambda found: sum(view["rows"] or 0 for view in found),
        )

    def train(self, days: Days) -> dict[str, Any]:
        deployed = self.report.step(
            "Deploy the training workflow",
            lambda: self.mlops("workflows", "deploy", MODEL, role=Role.JENKINS),
            lambda found: f"state machine {found['action']}, code {found['code_sha256'][:12]}",
        )
        name = f"demo-{deployed['code_sha256'][:10]}-{days.test_end:%Y%m%d}"
        name = choose_name(name, failed=self._failed_runs())
        gate = {} if days.published else EASY
        changes = [f"--set=thresholds.{metric}={least}" for metric, least in gate.items()]
        run = ["workflows", "run", MODEL, "--wait", "--name", name, *changes]
        version: dict[str, Any] = self.report.step(
            "Train, evaluate, gate, export and register",
            lambda: self._register(run, days),
            lambda found: f"registered {found['package_arn']}",
            rows=lambda found: int(found["metrics"]["train_rows"] + found["metrics"]["test_rows"]),
        )
        return version

    def _failed_runs(self) -> set[str]:
        """Names of the workflow's executions that ended without success, stopped ones included."""
        pages = self.local.client("stepfunctions").get_paginator("list_executions")
        found = pages.paginate(stateMachineArn=self.local.names.state_machine_arn(MODEL))
        runs = [run for page in found for run in page["executions"]]
        return {run["name"] for run in runs if run["status"] not in {"RUNNING", "SUCCEEDED"}}

    def _register(self, run: list[str], days: Days) -> dict[str, Any]:
        arn = self.mlops(*run, role=Role.JENKINS, clock=days.trained)["package_arn"]
        number = str(arn).rsplit("/", 1)[1]
        version: dict[str, Any] = self.mlops(
            "models", "show", MODEL, number, role=Role.DATA_SCIENTIST
        )
        return version

    def approve(self, version: dict[str, Any]) -> int:
        number = int(version["version"])
        why = "Passed the gate; approved by the demo"
        outcome = self.report.step(
            "Approve it as another person",
            lambda: self.mlops(
                "models", "approve", MODEL, str(number), "--reason", why, role=Role.APPROVER
            ),
            lambda found: f"version {number}: {found['effect']}",
        )
        self.report.facts |= {
            "model_version": number,
            "package_arn": version["package_arn"],
            "metrics": version["metrics"],
            "approval": outcome["entry"],
        }
        return number

    def score(self, days: Days, version: int) -> None:
        key = self._key()  # before the proxy starts: it reads the keys then, and not at once again
        with self._serving(days):
            payment = choose_payment(self.local, days.scored.date())
            answer = self.report.step(
                "Score a payment over HTTP",
                lambda: score_payment(self._proxy_url, key, MODEL, payment, version=version),
                lambda found: f"score {found['predictions'][0]['score']:.4f}",
                rows=lambda _: 1,
            )
        self.report.facts["scored_payment"] = {"payment": payment.as_dict(), "answer": answer}

    @property
    def _proxy_url(self) -> str:
        found = {service.name: service.url for service in serving.find(self.local.state)}
        return found["proxy"]

    def _key(self) -> str:
        """A key for this run only; the one that an earlier run left is revoked first."""
        callers = [key["name"] for key in self.mlops("serve", "keys", role=None)]
        if CALLER in callers:
            self._revoke()
        return str(self.mlops("serve", "create-key", CALLER, "--pii", role=None)["key"])

    def _revoke(self) -> None:
        done = subprocess.run(  # noqa: S603 - our own command, our own arguments
            [_MLOPS, "serve", "revoke-key", CALLER],
            env=_environment() | self.local.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise JobFailed(f"The key of '{CALLER}' could not be revoked: {done.stderr.strip()}")

    @contextmanager
    def _serving(self, days: Days) -> Iterator[None]:
        """The proxy and inference, on the clock of the scored day; ended if they were not up."""
        running = [service for service in serving.find(self.local.state) if service.process]
        found = {service.name: service.port for service in running}
        # Others' services may hold the usual ports; what ends with the demo can be anywhere.
        ports = {f"{name}_port": found.get(name, 0) for name in ("inference", "proxy")}
        was_up = bool(found)
        if was_up:
            serving.stop(self.local.state)
        with ExitStack() as stack:
            self.report.step(
                "Start the proxy and the inference endpoint",
                lambda: serving.start(self.local, clock=days.trained.isoformat(), **ports),
                lambda found: ", ".join(f"{service.name} at {service.url}" for service in found),
            )
            if not was_up:
                stack.callback(serving.stop, self.local.state)
            yield


def _tell_import(found: dict[str, Any]) -> str:
    manifest = found["manifest"]
    days = manifest["days"]
    return (
        f"{found['state']}: {manifest['rows_imported']:,} payments, {days[0]} to {days[-1]}, "
        f"{manifest['rows_refused']:,} refused"
    )


def _tell_builds(found: list[dict[str, Any]]) -> str:
    return ", ".join(f"{table['table']}: {table['days']} days built" for table in found)


def _environment() -> dict[str, str]:
    """What of this process's environment a command may see: nobody's AWS or MLOPS settings."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ}


def run(source: Source) -> Report:
    """All steps. Raises the error of the step that failed; another run goes on from there."""
    report = Report()
    was_up = lifecycle.find(source.state) is not None
    local = report.step(
        "Start the local AWS", lambda: lifecycle.start(source.state), lambda found: found.endpoint
    )
    with ExitStack() as stack:
        if not was_up:
            stack.callback(local.stop)
        demo = Demo(local, report)
        demo.prepare()
        days = demo.load_payments(source)
        demo.make_features(days)
        version = demo.approve(demo.train(days))
        demo.score(days, version)
        show(report, days, model=MODEL)
    report.write(REPORT)
    _show_next(source, days)
    return report


def choose_name(name: str, *, failed: Collection[str]) -> str:
    """The name, or with the number of the attempt: an execution's name runs once, well or not."""
    attempts = itertools.chain([name], (f"{name}-{n}" for n in itertools.count(2)))
    return next(attempt for attempt in attempts if attempt not in failed)


def _show_next(source: Source, days: Days) -> None:
    state = "" if source.state == STATE else f" --state {shlex.quote(str(source.state))}"
    clock = f"{days.trained:%Y-%m-%dT%H:%M:%SZ}"
    click.echo(f"Written: {REPORT}. Nothing was left running. To start what this showed:")
    click.echo(f"  .venv/bin/mlops --clock {clock} local up{state}")
    click.echo(f'  eval "$(.venv/bin/mlops local env{state})"')
    click.echo(f"  .venv/bin/mlops models history {MODEL}")


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="A Parquet or CSV file of payments.")
@click.option("--timezone", default="UTC", show_default=True, help="Zone of times without one.")
@click.option("--currency", default="EUR", show_default=True, help="Of payments without one.")
def main(data: Path | None, timezone: str, currency: str) -> None:
    """Run the whole chain on simulated payments, or on a file of your own.

    \b
    Examples:
      make demo
      make demo DATA=payments.parquet
    """
    try:
        run(Source(data, timezone, currency))
    except MlopsError as exc:
        err.print(f"error: {exc}", style="red", markup=False, highlight=False, soft_wrap=True)
        click.echo("What was done is kept; running the demo again goes on from there.", err=True)
        sys.exit(exc.exit_code)


if __name__ == "__main__":
    main()
