"""Both services in the test's process, with version 1 deployed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.serving_processes import Services, serving


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with serving(tmp_path / "repo") as running:
        yield running
