"""Plain numbers say what prometheus_client's say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from serving.tallies import Spreads, Tallies

BOUNDS = (0.001, 0.5, 1.0, 20.0)
LABELS = st.tuples(st.sampled_from(["fraud", 'a"b\\c\n']), st.sampled_from(["1", "2"]))
VALUES = st.one_of(st.sampled_from(BOUNDS), st.floats(0, 50))


def samples(registry: CollectorRegistry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All but when a series began, which nobody here asks for."""
    text = generate_latest(registry).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.tuples(LABELS, st.integers(0, 9))))
def test_a_counter_is_scraped_as_the_clients_is(counted: list[tuple[tuple[str, str], int]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tallies = Tallies("c", "says", ["model", "version"], registry=ours)
    counter = Counter("c", "says", ["model", "version"], registry=theirs)
    for labels, by in counted:
        tallies.labels(*labels).inc(by)
        counter.labels(*labels).inc(by)
    assert samples(ours) == samples(theirs)


@given(st.lists(st.tuples(LABELS, VALUES)))
def test_a_histogram_is_scraped_as_the_clients_is(
    seen: list[tuple[tuple[str, str], float]],
) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    spreads = Spreads("h", "says", ["model", "version"], buckets=BOUNDS, registry=ours)
    histogram = Histogram("h", "says", ["model", "version"], buckets=BOUNDS, registry=theirs)
    for labels, value in seen:
        spreads.labels(*labels).observe(value)
        histogram.labels(*labels).observe(value)
    assert samples(ours) == samples(theirs)


def test_what_was_removed_begins_anew() -> None:
    registry = CollectorRegistry()
    tallies = Tallies("c", "says", ["model"], registry=registry)
    tallies.labels("fraud").inc()
    tallies.remove("fraud")
    tallies.labels("fraud").inc(5)
    assert list(samples(registry).values()) == [5]
