"""The `mlops` command in the test's own process, where a claim is not about processes.

A process of its own spends most of its time on what it imports, which the test's has already.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess

import boto3
import pytest

from mlops.cli import main


def mlops(*arguments: str, environment: Mapping[str, str]) -> CompletedProcess[str]:
    """Run it with these variables over those of the test; not from several threads at once."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["mlops", *arguments])
        # Feast's clients keep the identity of their first use.
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        # '--clock' writes this variable; setting it here has it removed again.
        patch.setenv("MLOPS_CLOCK", os.environ.get("MLOPS_CLOCK", "system"))
        for name, value in environment.items():
            patch.setenv(name, value)
        with redirect_stdout(stdout), redirect_stderr(stderr):
            code = _exit_code(main)
    return CompletedProcess(["mlops", *arguments], code, stdout.getvalue(), stderr.getvalue())


def in_a_process(*arguments: str, environment: Mapping[str, str]) -> CompletedProcess[str]:
    """Run it as a person does, with these variables over those of the test."""
    return subprocess.run(
        [Path(sys.executable).with_name("mlops"), *arguments],
        env=os.environ | dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )


def _exit_code(command: Callable[[], None]) -> int:
    try:
        command()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
