"""Slack is told what people read, and never the address that it is told by."""

from __future__ import annotations

import traceback

import pytest

from mlops.errors import SettingsError, Unavailable
from mlops.slack import LONGEST, Slack, format_notice
from tests.slack_channel import PATH, channel


def text_of(subject: str, **facts: object) -> str:
    return str(format_notice(subject, facts)["blocks"][0]["text"]["text"])


def test_a_notice_is_its_subject_and_the_facts_that_people_read() -> None:
    text = text_of(
        "Endpoint 'fraud' serves version 2.",
        reason="alerts doubled",
        who="arn:ann",
        metrics={"auc_roc": 0.87654},
        shortfalls=["auc", "precision"],
        revision=7,
    )
    assert text.splitlines() == [
        "*Endpoint 'fraud' serves version 2.*",
        "• reason: alerts doubled",
        "• who: arn:ann",
        "• shortfalls: auc, precision",
        "• metrics: auc_roc 0.8765",
    ]


def test_what_users_wrote_calls_nobody_and_makes_no_links() -> None:
    assert "&lt;!channel&gt; &amp; &lt;http://x|y&gt;" in text_of(
        "s", reason="<!channel> & <http://x|y>"
    )


def test_a_long_notice_is_cut_to_what_slack_takes() -> None:
    assert len(text_of("s", cause="x" * 10_000)) == LONGEST


def test_the_channel_is_told() -> None:
    with channel() as place:
        Slack(place.webhook).publish("Hello", {"reason": "because"})
    assert place.told == [format_notice("Hello", {"reason": "because"})]


def trace_of(slack: Slack) -> str:
    """All that an exception tells, its causes too."""
    try:
        slack.publish("Hello", {})
    except Unavailable:
        return traceback.format_exc()
    raise AssertionError("Slack took it")


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusal_is_told_without_the_webhook(status: int) -> None:
    with channel() as place:
        place.status = status
        told = trace_of(Slack(place.webhook))
    assert f"answered {status}" in told
    assert PATH not in told


def test_a_channel_that_does_not_answer_is_given_up() -> None:
    with channel() as place:
        place.delay = 0.5
        told = trace_of(Slack(place.webhook, timeout=0.05))
    assert PATH not in told


def test_a_channel_that_is_gone_is_told_without_the_webhook() -> None:
    with channel() as place:
        pass
    assert PATH not in trace_of(Slack(place.webhook))


@pytest.mark.parametrize(
    "webhook", ["http://hooks.example.com/x", "file:///etc/passwd", "nonsense"]
)
def test_what_is_no_webhook_is_refused_without_repeating_it(webhook: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Slack(webhook)
    assert webhook not in str(caught.value)
