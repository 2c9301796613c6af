"""EventBridge from inside: events with an `aws.` source."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from infra.local.settings import ACCOUNT, REGION


def emit(
    source: str, detail_type: str, detail: Mapping[str, Any], *, resources: Sequence[str] = ()
) -> None:
    """Put an event on the default bus as AWS itself would: its source may begin with `aws.`.

    Only inside the local AWS's process; over HTTP PutEvents refuses such a source, as on AWS.
    Returns at once; rules match and targets run afterwards.
    """
    from ministack import app

    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
        "Resources": list(resources),
    }
    app._MAIN_LOOP.call_soon_threadsafe(_put, entry)


def _put(entry: dict[str, Any]) -> None:
    from ministack.core.responses import request_scope
    from ministack.services import eventbridge

    with request_scope(ACCOUNT, REGION):
        eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
