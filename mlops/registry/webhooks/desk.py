"""What an administrator of MLflow works with, put together from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlops.aws import Aws, read_secret
from mlops.errors import SettingsError
from mlops.registry.opening import open_mlflow_server
from mlops.registry.webhooks.registration import (
    RECEIVER_PATH,
    Webhook,
    Webhooks,
    carry_out,
    plan,
    read_webhooks,
    try_out,
    webhook_of,
)
from mlops.settings import Settings


@dataclass(frozen=True)
class WebhookDesk:
    """An MLflow server, and the webhook that it is to have."""

    server: Webhooks
    wanted: Webhook

    def keep(self, *, dry_run: bool) -> dict[str, Any]:
        """Have the webhook as it is wanted, and try it out."""
        steps = plan(read_webhooks(self.server), self.wanted, self.wanted.name)
        done = {"webhook": self.wanted.name, "url": self.wanted.url, "dry_run": dry_run}
        done["steps"] = [str(step) for step in steps]
        if dry_run:
            return done
        carry_out(self.server, steps, self.wanted)
        return done | {"answered": try_out(self.server, self.wanted.name)}

    def remove(self, *, dry_run: bool) -> dict[str, Any]:
        """Have no such webhook."""
        steps = plan(read_webhooks(self.server), None, self.wanted.name)
        if not dry_run:
            carry_out(self.server, steps, None)
        said = [str(step) for step in steps]
        return {"webhook": self.wanted.name, "dry_run": dry_run, "steps": said}


def open_webhook_desk(settings: Settings, *, url: str | None) -> WebhookDesk:
    """Raises SettingsError where the versions are not in MLflow, or it has no address."""
    if settings.registry != "mlflow":
        raise SettingsError(
            f"MLOPS_REGISTRY is '{settings.registry}', which tells of its changes by itself. "
            "Webhooks are for MLOPS_REGISTRY=mlflow."
        )
    aws, names = Aws(region=settings.region), settings.names
    server = open_mlflow_server(settings, aws)
    key = read_secret(aws, names.mlflow_secret("webhook"))
    return WebhookDesk(server, webhook_of(names, url or server.url + RECEIVER_PATH, key))
