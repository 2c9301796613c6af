"""Workgroups: the ones that CloudFormation makes and the ones that the API makes are the same."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.local.service import AwsError

_ENGINE = {
    "SelectedEngineVersion": "AUTO",
    "EffectiveEngineVersion": "Athena engine version 3",
}
_PRIMARY = "primary"
_SETTINGS = (
    "EnforceWorkGroupConfiguration",
    "PublishCloudWatchMetricsEnabled",
    "BytesScannedCutoffPerQuery",
    "RequesterPaysEnabled",
    "EngineVersion",
)


@dataclass(frozen=True)
class WorkGroup:
    """What a workgroup decides about its queries."""

    name: str
    enabled: bool
    output_location: str
    enforced: bool
    cutoff: int | None
    """Bytes that one query may scan."""


class WorkGroups:
    """Workgroups in MiniStack's own store: its CloudFormation writes there in this process."""

    def __init__(self, account: str, region: str) -> None:
        # MiniStack reads the environment when it is imported; the server has set it by then.
        from ministack.services import athena

        self._store = athena._workgroups
        self._scope = (account, region)

    def get(self, name: str) -> WorkGroup:
        """Raises InvalidRequestException for an unknown one."""
        entry = self.entry(name)
        configuration = entry.get("Configuration") or {}
        results = configuration.get("ResultConfiguration") or {}
        cutoff = configuration.get("BytesScannedCutoffPerQuery")
        return WorkGroup(
            name,
            enabled=entry.get("State", "ENABLED") == "ENABLED",
            output_location=results.get("OutputLocation", ""),
            enforced=_true(configuration.get("EnforceWorkGroupConfiguration", False)),
            cutoff=int(cutoff) if cutoff else None,
        )

    def entry(self, name: str) -> dict[str, Any]:
        found = self._store.get_scoped(*self._scope, name)
        if found is None and name == _PRIMARY:
            found = self._put(name, "Primary workgroup", {"EnforceWorkGroupConfiguration": False})
        if found is None:
            raise AwsError("InvalidRequestException", f"WorkGroup {name} is not found.")
        return dict(found)

    def all(self) -> list[dict[str, Any]]:
        self.entry(_PRIMARY)
        entries = [dict(entry) for _, entry in self._store.items_scoped(*self._scope)]
        return sorted(entries, key=lambda entry: str(entry["Name"]))

    def create(self, name: str, description: str, configuration: Mapping[str, Any]) -> None:
        if not name:
            raise AwsError("InvalidRequestException", "A WorkGroup needs a name.")
        if self._store.contains_scoped(*self._scope, name):
            raise AwsError("InvalidRequestException", f"WorkGroup is already created: {name}")
        self._put(name, description, configuration)

    def _put(self, name: str, description: str, configuration: Mapping[str, Any]) -> dict[str, Any]:
        entry = {
            "Name": name,
            "State": "ENABLED",
            "Description": description,
            "CreationTime": int(time.time()),
            "Configuration": {"EngineVersion": _ENGINE, **configuration},
        }
        self._store.set_scoped(*self._scope, name, entry)
        return entry

    def update(
        self, name: str, *, description: str | None, state: str | None, updates: Mapping[str, Any]
    ) -> None:
        entry = self.entry(name)
        configuration = dict(entry.get("Configuration") or {})
        configuration |= {key: updates[key] for key in _SETTINGS if key in updates}
        if updates.get("RemoveBytesScannedCutoffPerQuery"):
            configuration.pop("BytesScannedCutoffPerQuery", None)
        results = dict(configuration.get("ResultConfiguration") or {})
        _update_results(results, updates.get("ResultConfigurationUpdates") or {})
        configuration["ResultConfiguration"] = results
        entry["Configuration"] = configuration
        entry |= {"Description": description} if description is not None else {}
        entry |= {"State": state} if state is not None else {}
        self._store.set_scoped(*self._scope, name, entry)

    def delete(self, name: str) -> None:
        if name == _PRIMARY:
            raise AwsError("InvalidRequestException", "The primary WorkGroup cannot be deleted.")
        self.entry(name)
        self._store.pop_scoped(*self._scope, name, None)


def _update_results(results: dict[str, Any], updates: Mapping[str, Any]) -> None:
    for part in ("OutputLocation", "EncryptionConfiguration", "ExpectedBucketOwner"):
        if part in updates:
            results[part] = updates[part]
        if updates.get(f"Remove{part}"):
            results.pop(part, None)


def _true(value: object) -> bool:
    """CloudFormation hands booleans on as text."""
    return str(value).lower() == "true"
