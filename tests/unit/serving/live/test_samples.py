"""Reading /metrics, and telling what happened between two readings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from serving.live.samples import Samples, parse_samples, since, together

BOUNDS = (0.001, 0.002, 0.004, 0.008, 0.016)


def observed(*values: float) -> Samples:
    registry = CollectorRegistry()
    histogram = Histogram("h", "says", ["m"], buckets=BOUNDS, registry=registry)
    for value in values:
        histogram.labels("a").observe(value)
    return parse_samples(generate_latest(registry).decode())


def counted(**counts: int) -> Samples:
    registry = CollectorRegistry()
    counter = Counter("c", "says", ["m"], registry=registry)
    for name, count in counts.items():
        counter.labels(name).inc(count)
    return parse_samples(generate_latest(registry).decode())


@given(
    st.lists(st.floats(1e-5, BOUNDS[-1]), min_size=1, max_size=200),
    st.floats(0.01, 0.99),
)
def test_a_quantile_lies_in_the_bucket_that_holds_it(values: list[float], part: float) -> None:
    found = observed(*values).quantile("h", part, m="a")
    exact = float(np.quantile(values, part, method="inverted_cdf"))
    place = int(np.searchsorted(BOUNDS, exact))
    low = BOUNDS[place - 1] if place else 0.0
    assert found is not None
    assert low - 1e-12 <= found <= BOUNDS[place] + 1e-12


def test_a_quantile_beyond_all_bounds_is_the_highest_bound() -> None:
    assert observed(1.0, 2.0).quantile("h", 0.5) == BOUNDS[-1]


def test_nothing_observed_has_no_quantile() -> None:
    assert observed().quantile("h", 0.5) is None
    observed_once = observed(0.001)
    assert since(observed_once, observed_once).quantile("h", 0.5) is None


def test_what_happened_is_the_difference_of_two_readings() -> None:
    between = since(counted(a=3), counted(a=5, b=2))
    assert between.by("c_total", "m") == {"a": 2, "b": 2}


def test_a_process_that_began_anew_counts_from_nothing() -> None:
    assert since(counted(a=100), counted(a=4)).total("c_total") == 4


def test_processes_add_up() -> None:
    both = together([counted(a=1, b=2), counted(a=10)])
    assert both.by("c_total", "m") == {"a": 11, "b": 2}
    assert both.total("c_total", m="a") == 11


def test_what_is_no_metrics_is_refused() -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_samples("<html>not {here</html>")
