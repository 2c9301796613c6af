"""`mlops serve`: the two services, and the keys of their callers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from mlops.cli.console import json_option, print_json, print_table
from serving.live.cli import watch

if TYPE_CHECKING:
    from serving.proxy.keys import KeyStore

_host = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")


@click.group()
def serve() -> None:
    """Run the proxy and the inference endpoint, and look after their callers' keys.

    \b
    Examples:
      mlops serve inference
      mlops serve proxy --port 8080
      mlops serve create-key checkout
      mlops serve watch
    """


serve.add_command(watch)


@serve.command()
@_host
@click.option("--port", type=int, help="Default: MLOPS_INFERENCE_PORT, or 8081.")
@click.option("--grpc-port", type=int, help="Default: MLOPS_INFERENCE_GRPC_PORT, or no gRPC.")
def inference(host: str, port: int | None, grpc_port: int | None) -> None:
    """Run the inference endpoint: it serves what the deployment documents name.

    \b
    Examples:
      mlops serve inference --host 0.0.0.0 --port 8081
      mlops serve inference --grpc-port 8082
    """
    from serving.connections import ConnectionLimits
    from serving.inference.app import create_app
    from serving.inference.compose import compose
    from serving.inference.settings import PREFIX, InferenceSettings
    from serving.logs import configure_logging
    from serving.server import bind, run
    from serving.settings import load_process_settings

    settings, section = load_process_settings(InferenceSettings, PREFIX)
    section = section.model_copy(
        update={"host": host, "grpc_port": section.grpc_port if grpc_port is None else grpc_port}
    )
    listener = bind(host, port or section.port, setting=PREFIX + "PORT")
    configure_logging(section.log_level)
    limits = ConnectionLimits(section.max_connections, section.request_seconds)
    app = create_app(compose(settings, section))
    run(app, listener, drain_seconds=section.drain_seconds, tls=section.tls, limits=limits)


@serve.command()
@_host
@click.option("--port", type=int, help="Default: MLOPS_PROXY_PORT, or 8080.")
@click.option("--grpc-port", type=int, help="Default: MLOPS_PROXY_GRPC_PORT, or no gRPC.")
def proxy(host: str, port: int | None, grpc_port: int | None) -> None:
    """Run the proxy: it takes ids, reads their features and answers with scores.

    \b
    Example:
      MLOPS_PROXY_INFERENCE_URL=http://127.0.0.1:8081 mlops serve proxy
    """
    from serving.connections import ConnectionLimits
    from serving.logs import configure_logging
    from serving.proxy.app import create_app
    from serving.proxy.compose import compose
    from serving.proxy.settings import PREFIX, ProxySettings
    from serving.server import bind, run
    from serving.settings import load_process_settings

    settings, section = load_process_settings(ProxySettings, PREFIX, needs_redis=True)
    section = section.model_copy(
        update={"host": host, "grpc_port": section.grpc_port if grpc_port is None else grpc_port}
    )
    dependencies = compose(settings, section)
    listener = bind(host, port or section.port, setting=PREFIX + "PORT")
    configure_logging(section.log_level)
    limits = ConnectionLimits(section.max_connections, section.request_seconds)
    app = create_app(dependencies)
    run(
        app,
        listener,
        drain_seconds=section.drain_seconds,
        tls=section.tls,
        limits=limits,
        shortcut=app,
    )


def _grants(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say what a caller may do, and how often."""
    for option in reversed(
        [
            click.option(
                "--model",
                "models",
                multiple=True,
                help="A model it may have predictions of. Without, all. May be given again.",
            ),
            click.option(
                "--service",
                "services",
                multiple=True,
                help="A feature service it may read; '*' for all. May be given again.",
            ),
            click.option(
                "--push",
                "sources",
                multiple=True,
                metavar="SOURCE",
                help="A push source it may write rows to; '*' for all. May be given again.",
            ),
            click.option("--no-predict", is_flag=True, help="It may have no predictions."),
            click.option("--pii", is_flag=True, help="It may see features tagged as personal."),
            click.option("--rate", type=float, help="Requests a second that each proxy admits."),
            click.option("--burst", type=int, help="At once, after a pause. Default: a second's."),
        ]
    ):
        command = option(command)
    return command


@serve.command("create-key")
@click.argument("name")
@_grants
@json_option
def create_key(name: str, as_json: bool, **grants: Any) -> None:
    """Make an API key for the caller NAME and print it, this once; only its hash is kept.

    Run one of these at a time: they replace the whole list of callers.

    \b
    Examples:
      KEY=$(mlops serve create-key checkout)
      KEY=$(mlops serve create-key checkout --model fraud --rate 200 --burst 400)
      KEY=$(mlops serve create-key analytics --no-predict --service fraud_v1 --pii)
      KEY=$(mlops serve create-key clicks --push clicks_push --no-predict)
    """
    from datetime import UTC, datetime

    store = _open_keys()
    keys, key = store.load().add(name, now=datetime.now(UTC), **_granted(**grants))
    store.save(keys)
    if as_json:
        print_json({"name": name, "key": key})
    else:
        click.echo(key)


@serve.command("add-subject")
@click.argument("name")
@click.argument("subject")
@_grants
def add_subject(name: str, subject: str, **grants: Any) -> None:
    """Register the caller NAME, who comes with tokens of SUBJECT from the identity provider.

    \b
    Example:
      mlops serve add-subject checkout 7d5a1c1e-client --model fraud
    """
    from datetime import UTC, datetime

    store = _open_keys()
    now = datetime.now(UTC)
    store.save(store.load().add_subject(name, subject, now=now, **_granted(**grants)))
    click.echo(f"Tokens of this subject are those of '{name}' now.", err=True)


def _granted(
    *,
    models: tuple[str, ...],
    services: tuple[str, ...],
    sources: tuple[str, ...],
    no_predict: bool,
    pii: bool,
    rate: float | None,
    burst: int | None,
) -> dict[str, Any]:
    """Permissions and rate, as the list of callers keeps them. Raises InputError."""
    from mlops.errors import InputError
    from serving.proxy.callers import PII, PREDICT, PUSH, READ
    from serving.proxy.keys import build_rate

    if models and no_predict:
        raise InputError("--model and --no-predict contradict each other. Give one of them.")
    permissions = [f"{PREDICT}:{model}" for model in models]
    if not models and not no_predict:
        permissions = [PREDICT]
    permissions += [f"{READ}:{service}" for service in services]
    permissions += [f"{PUSH}:{source}" for source in sources]
    if not permissions:
        raise InputError(
            "With --no-predict and without --service and --push it would be allowed nothing."
        )
    permissions += [PII] if pii else []
    return {"permissions": permissions, "rate": build_rate(rate, burst)}


@serve.command("revoke-key")
@click.argument("name")
def revoke_key(name: str) -> None:
    """Forget the caller NAME; the proxy notices within MLOPS_PROXY_KEYS_POLL_SECONDS.

    \b
    Example:
      mlops serve revoke-key checkout
    """
    store = _open_keys()
    store.save(store.load().remove(name))
    click.echo(f"'{name}' is known no more.", err=True)


@serve.command()
@json_option
def keys(as_json: bool) -> None:
    """List the callers, what proves who they are, and what they may.

    \b
    Example:
      mlops serve keys --json
    """
    found = _open_keys().load().keys
    if as_json:
        print_json([key.model_dump(mode="json", exclude={"sha256"}) for key in found])
        return
    print_table(
        ["caller", "by", "may", "a second", "created"],
        [
            [
                k.name,
                "key" if k.sha256 else "token",
                ", ".join(k.permissions),
                f"{k.rate.per_second:g}, at once {k.rate.burst}" if k.rate else "",
                f"{k.created:%Y-%m-%d %H:%M}Z",
            ]
            for k in found
        ],
    )


def _open_keys() -> KeyStore:
    from mlops.aws import Aws
    from serving.proxy.compose import open_keys
    from serving.proxy.settings import PREFIX, ProxySettings
    from serving.settings import load_process_settings

    settings, section = load_process_settings(ProxySettings, PREFIX)
    return open_keys(settings, section, Aws(region=settings.region))
