"""The Lambdas start quickly, as they load little."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"feast", "stepfunctions", "sagemaker", "pandas", "numpy", "pyarrow", "mlflow", "rich"}


@pytest.mark.parametrize(
    "module",
    ["deploy_workflow", "deploy_model", "notify_slack", "receive_webhook", "tell_ends"],
)
def test_a_lambda_imports_the_kernel_boto3_and_pydantic_only(module: str) -> None:
    program = f"import sys, infra.lambdas.{module}; print(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in answer.stdout.split()}
    assert not loaded & HEAVY
