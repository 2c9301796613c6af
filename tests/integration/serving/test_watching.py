"""`mlops serve watch` as a command, where nothing runs."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from mlops.errors import Unavailable
from serving.cli import serve
from tests.ports import free_port


def test_where_no_process_answers_it_says_how_to_start_one() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    arguments = ["watch", "--proxy", nowhere, "--inference", nowhere, "--every", "0.2", "--once"]
    with pytest.raises(Unavailable, match="mlops serve proxy"):
        CliRunner().invoke(serve, arguments, catch_exceptions=False, standalone_mode=False)
