"""Where MiniStack's CloudFormation differs from AWS's in what the stacks lean on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

SECRET = "AWS::SecretsManager::Secret"  # noqa: S105 - a resource type
Create = Callable[[str, Mapping[str, Any], str], tuple[str, dict[str, Any]]]


def install() -> None:
    """Put every patch in; each has a contract test."""
    from ministack.services.cloudformation import provisioners

    # It calls every change of these a conditional replacement, which would lose their data.
    provisioners._REPLACING_PROPERTIES |= {"AWS::S3::Bucket": ("BucketName",), SECRET: ("Name",)}
    # It gives a secret the empty text for a value where the template gives it none.
    handlers = provisioners._RESOURCE_HANDLERS[SECRET]
    handlers["create"] = _without_value(handlers["create"])


def _without_value(create: Create) -> Create:
    def created(
        logical_id: str, properties: Mapping[str, Any], stack: str
    ) -> tuple[str, dict[str, Any]]:
        from ministack.services import secretsmanager

        name, attributes = create(logical_id, properties, stack)
        if not {"SecretString", "GenerateSecretString"} & set(properties):
            secretsmanager._secrets[name]["Versions"].clear()
        return name, attributes

    return created
