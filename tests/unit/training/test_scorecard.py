"""What is measured of a model on its test rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.fraud.evaluate import measure
from pipelines.training.report import write_report
from pipelines.training.scorecard import Grouping, draw_curves, examine
from tests.approvals import BUCKET, Office, manifest_of, scorecard
from tests.unit.training import examples

_LABELLED = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 20).map(lambda n: n / 20)), min_size=2, max_size=60
).filter(lambda rows: 0 < sum(label for label, _ in rows) < len(rows))


@given(_LABELLED)
def test_curves_are_points_that_some_cut_of_the_scores_reaches(
    drawn: list[tuple[int, float]],
) -> None:
    labels, scores = (np.array(column) for column in zip(*drawn, strict=True))
    curves = draw_curves(labels, scores)
    reached = {(0.0, 0.0)}
    for cut in np.unique(scores):
        chosen = scores >= cut
        rates = [chosen[labels == label].mean() for label in (0, 1)]
        reached.add((round(float(rates[0]), 6), round(float(rates[1]), 6)))
    assert set(curves.roc) <= reached
    assert {curves.roc[0], curves.roc[-1]} == {(0.0, 0.0), (1.0, 1.0)}
    assert len(curves.roc) <= 101
    assert curves.precision_recall[-1] == (1.0, round(float(labels.mean()), 6))


def test_calibration_goes_from_low_to_high_scores_over_all_rows() -> None:
    scores = np.linspace(0, 1, 1000)
    labels = (np.random.default_rng(0).random(1000) < scores).astype(np.int64)
    found = draw_curves(labels, scores).calibration
    assert len(found) == 10
    assert all(abs(mean - share) < 0.15 for mean, share in found)


def test_a_test_names_its_rows_and_measures_them_whole_and_drawn() -> None:
    rows = examples.rows(200)
    scores = np.random.default_rng(3).random(200)
    found = examine(rows, scores, None, measure, Grouping("is_fraud", "customer_id"))
    assert found.own.metrics == measure(rows, scores)
    assert len(found.own.replicates["auc_roc"]) == 200
    assert (found.rows, found.approved, found.approved_version) == (200, None, None)
    other = examine(rows[::-1], scores, None, measure, Grouping())
    assert other.rows_sha256 != found.rows_sha256
    assert other.own.curves is None


def test_the_page_of_a_new_version_shows_it_beside_the_one_it_was_tested_with() -> None:
    office = Office()
    office.register_with(3, scorecard())
    card = scorecard(rows="b", approved=(3, 0.8), auc=0.9)
    manifest = manifest_of("fraud", 4, graph=b"graph")
    report = write_report(examples.run(), manifest, card, office.registry, office.documents, BUCKET)
    page = report.html.decode()
    assert "beside version 3" in page
    assert "On the same 100 test rows" in page
    assert "Not compared" not in page
    first = card.model_copy(update={"approved": None, "approved_version": None})
    alone = write_report(examples.run(), manifest, first, office.registry, office.documents, BUCKET)
    assert b"with nothing to compare it with" in alone.html
    assert report.comparison[0].startswith("auc_roc 0.9")
    assert "of version 3, +0.1" in report.comparison[0]
    assert alone.comparison == [
        "no version is approved yet, so that there is nothing to compare it with"
    ]
