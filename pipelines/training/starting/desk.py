"""Where the `mlops workflows schedule` commands work: one environment, as one identity."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mlops.aws import Aws
from mlops.errors import NotFound, Refused
from mlops.objects import S3Documents
from mlops.settings import load_settings
from pipelines.training.deploy import Deployed, WorkflowDeployment
from pipelines.training.settings import (
    TrainingSettings,
    chosen_fields,
    list_models,
    load_defaults,
    with_overrides,
)
from pipelines.training.starting.rules import (
    EventBridgeRules,
    Rule,
    Rules,
    Step,
    Why,
    carry_out,
    plan_rules,
    wanted_rules,
)
from pipelines.training.workflows import START, list_workflows


class Deployments(Protocol):
    """What is asked of the workflows that are deployed."""

    def deployed(self, workflow: str) -> Deployed | None:
        """What is deployed now; None when nothing is."""


@dataclass(frozen=True)
class StartDesk:
    """Declared starts, and the rules of an environment."""

    rules: Rules
    deployments: Deployments
    defaults_of: Callable[[str], TrainingSettings] = load_defaults
    """The settings that a model declares. Raises NotFound."""

    def overview(self, model: str | None) -> list[dict[str, Any]]:
        """A row for each rule that is declared or there. Raises NotFound, Refused."""
        models = list_models() if model is None else [model]
        return [row for one in models for row in self._rows(one)]

    def _rows(self, model: str) -> list[dict[str, Any]]:
        wanted = wanted_rules(model, self._declared(model).starts, {})
        declared = {rule.why: rule for rule in wanted}
        found = {rule.why: rule for rule in self.rules.found(model)}
        return [
            _row(model, found.get(why), declared.get(why))
            for why in Why
            if why in found or why in declared
        ]

    def set(self, model: str, changes: Mapping[str, str], *, dry_run: bool) -> list[Step]:
        """Put in force what is declared. Raises NotFound, Refused, InputError.

        Before the workflow is deployed it is planned alone.
        """
        defaults = self._declared(model)
        settings = chosen_fields(with_overrides(defaults, changes), changes)
        wanted = wanted_rules(model, defaults.starts, settings)
        steps = plan_rules(wanted, self.rules.found(model))
        if not dry_run:
            if wanted:
                self._require_deployed(model)
            carry_out(self.rules, model, steps)
        return steps

    def _require_deployed(self, model: str) -> None:
        """A rule whose workflow is missing would fail each time, where nobody looks."""
        missing = [name for name in (START, model) if self.deployments.deployed(name) is None]
        if missing:
            raise NotFound(
                f"What is to start by itself must be deployed: {', '.join(missing)} is not. "
                f"Run: mlops workflows deploy {' '.join(missing)}"
            )

    def pause(self, model: str, *, dry_run: bool) -> list[Rule]:
        """The rules that do nothing from now on. Raises NotFound, Refused."""
        return self._turn(model, paused=True, dry_run=dry_run)

    def resume(self, model: str, *, dry_run: bool) -> list[Rule]:
        """The rules that do their work from now on. Raises NotFound, Refused."""
        return self._turn(model, paused=False, dry_run=dry_run)

    def _turn(self, model: str, *, paused: bool, dry_run: bool) -> list[Rule]:
        found = self._there(model)
        for rule in () if dry_run else found:
            self.rules.pause(model, rule.why, paused=paused)
        return [rule.model_copy(update={"paused": paused}) for rule in found]

    def remove(self, model: str, *, dry_run: bool) -> list[Rule]:
        """The rules that are gone, a model's without a folder, too. Raises NotFound, Refused."""
        found = self.rules.found(model)
        if not found:
            self._declared(model)
        for rule in () if dry_run else found:
            self.rules.remove(model, rule.why)
        return found

    def _there(self, model: str) -> list[Rule]:
        self._declared(model)
        found = self.rules.found(model)
        if not found:
            raise NotFound(
                f"Nothing starts '{model}' by itself. Put in force what its settings declare: "
                f"mlops workflows schedule set {model}"
            )
        return found

    def _declared(self, model: str) -> TrainingSettings:
        if model in list_workflows() and model not in list_models():
            raise Refused(
                f"'{model}' trains no model. The schedule of 'upsync' belongs to the "
                "infrastructure: upsync_every in infra/stacks/profile.py."
            )
        return self.defaults_of(model)


def _row(model: str, found: Rule | None, declared: Rule | None) -> dict[str, Any]:
    shown = found or declared
    assert shown is not None
    settings = dict(found.settings) if found else {}
    return {
        "model": model,
        "why": shown.why,
        "when": shown.words,
        "state": _state(found, declared),
        "settings": json.dumps(settings) if settings else None,
    }


def _state(found: Rule | None, declared: Rule | None) -> str:
    if found is None:
        return "declared, not set"
    if declared is None:
        return "no longer declared; set removes it"
    if found.when != declared.when:
        return f"declared otherwise: {declared.words}"
    return "paused" if found.paused else "in force"


def open_start_desk() -> StartDesk:
    """The environment that the settings name, as the identity that AWS knows us by."""
    settings = load_settings()
    aws, names = Aws(region=settings.region), settings.names
    documents = S3Documents(aws, names.artifact_bucket)
    return StartDesk(EventBridgeRules(aws, names), WorkflowDeployment(aws, names, documents))
