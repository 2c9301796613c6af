"""Deploying to the local AWS: complete, repeatable, and never at the expense of data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.names import Role

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws


def test_every_role_can_be_assumed(platform: LocalAws) -> None:
    for role in Role:
        arn = platform.client("sts", role).get_caller_identity()["Arn"]
        assert f":assumed-role/{platform.names.role_name(role)}/" in arn
