"""The suite's own ground: groups of tests that share a server stay on one worker."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.xdist_group("grouping")


def test_a_worker_knows_the_group_of_a_test(request: pytest.FixtureRequest) -> None:
    if not hasattr(request.config, "workerinput"):
        pytest.skip("runs without workers; 'make test' has them")
    assert request.node.nodeid.endswith("@grouping")


def test_files_with_servers_are_groups(request: pytest.FixtureRequest) -> None:
    others = [item for item in request.session.items if "unit" not in item.path.parts]
    assert all(item.get_closest_marker("xdist_group") for item in others)
