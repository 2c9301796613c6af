"""`mlops serve`: the two services, and the keys of their callers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlops.cli.console import json_option, print_json, print_table

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
    """


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
    run(create_app(compose(settings, section)), listener, drain_seconds=section.drain_seconds)


@serve.command()
@_host
@click.option("--port", type=int, help="Default: MLOPS_PROXY_PORT, or 8080.")
def proxy(host: str, port: int | None) -> None:
    """Run the proxy: it takes ids, reads their features and answers with scores.

    \b
    Example:
      MLOPS_PROXY_INFERENCE_URL=http://127.0.0.1:8081 mlops serve proxy
    """
    from serving.logs import configure_logging
    from serving.proxy.app import create_app
    from serving.proxy.compose import compose
    from serving.proxy.settings import PREFIX, ProxySettings
    from serving.server import bind, run
    from serving.settings import load_process_settings

    settings, section = load_process_settings(ProxySettings, PREFIX, needs_redis=True)
    dependencies = compose(settings, section)
    listener = bind(host, port or section.port, setting=PREFIX + "PORT")
    configure_logging(section.log_level)
    run(create_app(dependencies), listener, drain_seconds=section.drain_seconds)


@serve.command("create-key")
@click.argument("name")
@click.option(
    "--push",
    "sources",
    multiple=True,
    metavar="SOURCE",
    help="Let it push rows to this push source; '*' for all. May be given more than once.",
)
@click.option("--no-predict", is_flag=True, help="Let it ask for no predictions.")
@json_option
def create_key(name: str, sources: tuple[str, ...], no_predict: bool, as_json: bool) -> None:
    """Make an API key for the caller NAME and print it, this once; only its hash is kept.

    Run one of these at a time: they replace the whole list of keys.

    \b
    Examples:
      KEY=$(mlops serve create-key checkout)
      KEY=$(mlops serve create-key clicks --push clicks_push --no-predict)
    """
    from datetime import UTC, datetime

    from mlops.errors import InputError
    from serving.proxy.keys import PREDICT

    permissions = [*([] if no_predict else [PREDICT]), *(f"push:{source}" for source in sources)]
    if not permissions:
        raise InputError("A key without --push and with --no-predict would allow nothing.")
    store = _open_keys()
    keys, key = store.load().add(name, now=datetime.now(UTC), permissions=permissions)
    store.save(keys)
    if as_json:
        print_json({"name": name, "key": key})
    else:
        click.echo(key)


@serve.command("revoke-key")
@click.argument("name")
def revoke_key(name: str) -> None:
    """Let the key of the caller NAME end; the proxy notices within MLOPS_PROXY_KEYS_POLL_SECONDS.

    \b
    Example:
      mlops serve revoke-key checkout
    """
    store = _open_keys()
    store.save(store.load().remove(name))
    click.echo(f"The key of '{name}' is revoked.", err=True)


@serve.command()
@json_option
def keys(as_json: bool) -> None:
    """List the callers that have a key.

    \b
    Example:
      mlops serve keys --json
    """
    found = _open_keys().load().keys
    if as_json:
        print_json([key.model_dump(mode="json", exclude={"sha256"}) for key in found])
        return
    print_table(
        ["caller", "may", "created"],
        [[k.name, ", ".join(k.permissions), f"{k.created:%Y-%m-%d %H:%M}Z"] for k in found],
    )


def _open_keys() -> KeyStore:
    from mlops.aws import Aws
    from serving.proxy.compose import open_keys
    from serving.proxy.settings import PREFIX, ProxySettings
    from serving.settings import load_process_settings

    settings, section = load_process_settings(ProxySettings, PREFIX)
    return open_keys(settings, section, Aws(region=settings.region))
