"""Where MiniStack's CloudFormation differs from AWS's in what the stacks lean on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

STREAM = "AWS::Kinesis::Stream"
SECRET = "AWS::SecretsManager::Secret"  # noqa: S105 - a resource type
Create = Callable[[str, Mapping[str, Any], str], tuple[str, dict[str, Any]]]


def install() -> None:
    """Put every patch in; each has a contract test."""
    from ministack.services.cloudformation import provisioners

    # It calls every change of these a conditional replacement, which would lose their data.
    provisioners._REPLACING_PROPERTIES |= {
        "AWS::S3::Bucket": ("BucketName",),
        SECRET: ("Name",),
        STREAM: ("Name",),
    }
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


class Streams(Protocol):
    """Kinesis, as far as stacks make and change streams."""

    def configure(self, name: str, properties: Mapping[str, Any]) -> str:
        """Make or change a stream; its ARN."""

    def delete(self, name: str) -> None: ...


def keep_streams_in(streams: Streams) -> None:
    """It would make streams in its own Kinesis, which answers no call here."""
    from ministack.services.cloudformation import provisioners

    def created(
        logical_id: str, properties: Mapping[str, Any], stack: str
    ) -> tuple[str, dict[str, Any]]:
        name = properties.get("Name") or provisioners._physical_name(stack, logical_id)
        return name, {"Arn": streams.configure(name, properties)}

    def updated(
        name: str, before: Mapping[str, Any], properties: Mapping[str, Any], stack: str
    ) -> tuple[str, dict[str, Any]]:
        name = properties.get("Name") or name
        return name, {"Arn": streams.configure(name, properties)}

    provisioners._RESOURCE_HANDLERS[STREAM] = {
        "create": created,
        "update": updated,
        "delete": lambda name, _: streams.delete(name),
    }


def keep_redis_password(secret: str, password: str) -> None:
    """On AWS the online store is made with the secret's password; here it has one already."""
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS[SECRET]
    create: Create = handlers["create"]

    def created(
        logical_id: str, properties: Mapping[str, Any], stack: str
    ) -> tuple[str, dict[str, Any]]:
        if properties.get("Name") != secret:
            return create(logical_id, properties, stack)
        rest = {k: v for k, v in properties.items() if k != "GenerateSecretString"}
        return create(logical_id, {**rest, "SecretString": password}, stack)

    handlers["create"] = created
