"""The examples of docs/calling.md, run as they stand there, against the proxy on a real port."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import uvicorn

from serving.server import configure
from tests.serving_examples import NOW
from tests.serving_processes import Services, serving

PAGE = Path(__file__).parents[2] / "docs" / "calling.md"
TEXT = PAGE.read_text(encoding="utf-8")


def examples(language: str, containing: str) -> list[str]:
    blocks = re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)
    return [block for block in blocks if containing in block]


@asynccontextmanager
async def on_a_port(app: Any) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = configure(app, drain_seconds=1)
    config.lifespan = "off"  # it runs already
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        assert not running.done(), "the server did not start"
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def proxy(folder: Path) -> AsyncIterator[tuple[Services, dict[str, str]]]:
    """It knows the ids of the examples; with it, the environment in which these run."""
    async with serving(folder / "repo") as services:
        services.store.put("spend", ("1042",), NOW, {"payments": 4, "mean_amount": 10.0})
        services.store.put("risk", ("7718",), NOW, {"risk": 0.1})
        (registered,) = services.keys.stored.keys
        wider = registered.model_copy(update={"permissions": ("predict", "read:*")})
        services.keys.stored = services.keys.stored.model_copy(update={"keys": (wider,)})
        await services.doorkeeper.refresh()
        app = services.proxy._transport.app  # type: ignore[attr-defined]
        async with on_a_port(app) as url:
            key = services.proxy.headers["X-Api-Key"]
            own = {"PROXY_URL": url, "PROXY_KEY": key, "NO_PROXY": "127.0.0.1"}
            yield services, dict(os.environ) | own


def as_served_here(example: str) -> str:
    """The tests' own feature service in place of the demo's."""
    return example.replace("fraud_v1", "payments_v1")


async def run(environment: dict[str, str], *command: str, cwd: Path | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, problems = await process.communicate()
    assert process.returncode == 0, problems.decode()
    return out.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_the_curl_examples_get_a_score_and_features(tmp_path: Path) -> None:
    (score,) = examples("sh", ":predict")
    (features,) = examples("sh", ":read")
    async with proxy(tmp_path) as (_, environment):
        scored = json.loads(await run(environment, "bash", "-c", score))
        read = json.loads(await run(environment, "bash", "-c", as_served_here(features)))
    assert isinstance(scored["predictions"][0]["score"], float)
    assert read["features"]["spend:mean_amount"]["values"] == [10.0]


async def test_the_python_example_gets_a_score_and_features(tmp_path: Path) -> None:
    (example,) = examples("python", "ProxyClient")
    async with proxy(tmp_path) as (_, environment):
        environment["PYTHONPATH"] = str(PAGE.parents[1])
        shown = await run(environment, sys.executable, "-c", as_served_here(example))
    first, second = shown.splitlines()
    assert 0 <= float(first.removeprefix("score ")) <= 1
    assert "'spend:mean_amount': 10.0" in second


@pytest.mark.skipif(shutil.which("javac") is None, reason="no JDK is installed")
@pytest.mark.skipif("SOAK_EXAMPLES" not in os.environ, reason="takes seconds: 'make soak' runs it")
async def test_the_java_example_gets_a_score_and_features(tmp_path: Path) -> None:
    (example,) = examples("java", "class Calling")
    (tmp_path / "Calling.java").write_text(as_served_here(example))
    async with proxy(tmp_path) as (_, environment):
        shown = await run(environment, "java", "Calling.java", cwd=tmp_path)
    scored, read = map(json.loads, shown.splitlines())
    assert isinstance(scored["predictions"][0]["score"], float)
    assert read["features"]["spend:mean_amount"]["values"] == [10.0]


def requests_in(example: str) -> Iterator[tuple[str, Any]]:
    """Path and body of each request that an example in curl or Java makes."""
    paths = re.findall(r"/v1/[a-z]+/\w+:\w+", example)
    bodies = re.findall(r"\{\"(?:instances|entities)\".*?\}(?=[\s']*\n|')", example, re.DOTALL)
    assert len(paths) == len(bodies) > 0
    return zip(paths, map(json.loads, bodies), strict=True)


async def test_every_example_is_a_request_of_the_openapi_document(services: Services) -> None:
    document = (await services.proxy.get("/openapi.json")).json()
    written = [*examples("sh", "curl"), *examples("java", "class")]
    for path, body in (request for example in written for request in requests_in(example)):
        template = re.sub(r"/\w+:", "/{x}:", path)
        (described,) = (
            operations["post"]
            for route, operations in document["paths"].items()
            if re.sub(r"\{\w+\}", "{x}", route) == template
        )
        schema = described["requestBody"]["content"]["application/json"]["schema"]
        jsonschema.validate(body, schema | {"components": document["components"]})
        schemes = document["components"]["securitySchemes"].values()
        assert "X-Api-Key" in {scheme.get("name") for scheme in schemes}


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with serving(tmp_path / "repo") as running:
        yield running
