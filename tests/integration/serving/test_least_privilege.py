"""On the deployed platform the serving role alone is enough to serve, all of it over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.lifecycle import LocalAws
from mlops.aws import Aws
from mlops.deployment import deployment_key
from mlops.names import Role
from mlops.objects import S3Documents
from mlops.plan import plan_key, save_plan
from serving.tls import Tls, client_context
from tests.certificates import make_authority
from tests.integration.serving.conftest import Service, run_cli, wait_for
from tests.ports import free_port
from tests.serving_examples import (
    INSTANCE,
    NOW,
    build_manifest,
    build_plan,
    deploy,
    onnx_model,
    publish,
    write_repo,
)

pytestmark = pytest.mark.xdist_group("serving")

ENDPOINT = "serving-role-test"


@pytest.fixture
def documents(platform: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Documents]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", platform.endpoint)
    opened = S3Documents(Aws(platform.session()), platform.names.artifact_bucket)
    yield opened
    opened.delete(deployment_key(ENDPOINT))
    opened.delete(plan_key("payments_v1"))


def test_a_caller_is_answered_by_services_that_act_as_the_serving_role(
    platform: LocalAws, documents: S3Documents, tmp_path: Path
) -> None:
    repo = write_repo(tmp_path / "repo")
    plan, graph = build_plan(repo), onnx_model()
    save_plan(documents, plan)
    manifest, bucket = build_manifest(plan, graph), documents.bucket
    version = publish(documents, manifest, graph, version=1, bucket=bucket, endpoint=ENDPOINT)
    deploy(documents, version, endpoint=ENDPOINT)
    name = "least-privilege"
    key = run_cli(platform.environment(), "serve", "create-key", name, "--json")["key"]
    environment = platform.environment(Role.SERVING) | {
        "MLOPS_FEATURE_REPO": str(repo),
        "MLOPS_CLOCK": NOW.isoformat(),
    }
    authority = make_authority(tmp_path / "authority")
    tls, ca = authority.sign("server"), authority.certificate
    called = client_context(ca, authority.sign("tests"))
    environment |= tls_settings("INFERENCE", tls) | tls_settings("PROXY", tls)
    environment |= {"MLOPS_INFERENCE_TLS_CLIENTS_CA_FILE": str(ca)}
    inference = Service(
        "inference", free_port(), environment, tmp_path / "inference.log", tls=called
    )
    environment |= {
        "MLOPS_PROXY_INFERENCE_URL": inference.url,
        "MLOPS_PROXY_INFERENCE_CA_FILE": str(ca),
    }
    proxy = Service("proxy", free_port(), environment, tmp_path / "proxy.log", tls=called)
    inference.start()
    proxy.start()
    try:
        wait_for(lambda: ENDPOINT in models(proxy), "the deployment")
        answer = httpx.post(
            f"{proxy.url}/v1/models/{ENDPOINT}:predict",
            json={"instances": [INSTANCE | {"customer_id": "nobody"}]},
            headers={"X-Api-Key": key},
            verify=called,
        )
    finally:
        proxy.stop()
        inference.stop()
    assert answer.status_code == 422, answer.text
    assert "customer_id 'nobody'" in answer.json()["error"]["message"]


def tls_settings(service: str, tls: Tls) -> dict[str, str]:
    return {
        f"MLOPS_{service}_TLS_CERTIFICATE_FILE": str(tls.certificate),
        f"MLOPS_{service}_TLS_KEY_FILE": str(tls.key),
    }


def models(proxy: Service) -> Any:
    assert proxy.tls is not None
    found = httpx.get(proxy.url + "/readyz", verify=proxy.tls).json()["models"]
    return [name for name in found if found[name]["ready"]] if isinstance(found, dict) else []
