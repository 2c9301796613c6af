"""Stored features. A snapshot holds from 00:00 UTC of its day and sees only what came before."""

from datetime import timedelta

from entities import customer, terminal
from feast import FeatureView, Field
from feast.types import Float64, Int64, String
from sources import customer_spend_source, terminal_risk_source

OWNER = "payments-data@example.com"
# After three days without a new snapshot, stale features are no features.
TTL = timedelta(days=3)
PERSONAL = {"pii": "true"}
# What models saw is kept for a tenth of the customers and terminals, an hour apart.
LOGGED = {
    "downsync": "served",
    "downsync_ratio": "0.1",
    "downsync_by": "key",
    "downsync_interval": "1h",
}

customer_spend = FeatureView(
    name="customer_spend",
    entities=[customer],
    ttl=TTL,
    schema=[
        Field(name="customer_id", dtype=String, tags=PERSONAL),
        Field(name="customer_count_1d", dtype=Int64, description="Payments of the last day."),
        Field(name="customer_count_7d", dtype=Int64, description="Payments of the last 7 days."),
        Field(name="customer_count_30d", dtype=Int64, description="Payments of the last 30 days."),
        Field(
            name="customer_mean_amount_1d",
            dtype=Float64,
            description="Mean amount of the last day; 0 without payments.",
            tags=PERSONAL,
        ),
        Field(
            name="customer_mean_amount_7d",
            dtype=Float64,
            description="Mean amount of the last 7 days; 0 without payments.",
            tags=PERSONAL,
        ),
        Field(
            name="customer_mean_amount_30d",
            dtype=Float64,
            description="Mean amount of the last 30 days; 0 without payments.",
            tags=PERSONAL,
        ),
    ],
    source=customer_spend_source,
    online=True,
    description="How often and how much a customer paid lately.",
    owner=OWNER,
    tags={"publication_delay": "0s", "pii": "true"} | LOGGED,
)
terminal_risk = FeatureView(
    name="terminal_risk",
    entities=[terminal],
    ttl=TTL,
    schema=[
        Field(name="terminal_id", dtype=String),
        Field(name="terminal_count_1d", dtype=Int64, description="Payments of 1 day, 7 days ago."),
        Field(name="terminal_count_7d", dtype=Int64, description="Payments of 7 days, 7 days ago."),
        Field(
            name="terminal_count_30d", dtype=Int64, description="Payments of 30 days, 7 days ago."
        ),
        Field(
            name="terminal_fraud_share_1d",
            dtype=Float64,
            description="Share of frauds in 1 day, 7 days ago; 0 without payments.",
        ),
        Field(
            name="terminal_fraud_share_7d",
            dtype=Float64,
            description="Share of frauds in 7 days, 7 days ago; 0 without payments.",
        ),
        Field(
            name="terminal_fraud_share_30d",
            dtype=Float64,
            description="Share of frauds in 30 days, 7 days ago; 0 without payments.",
        ),
    ],
    source=terminal_risk_source,
    online=True,
    description="How often a terminal was used and abused; labels arrive 7 days late.",
    owner=OWNER,
    tags={"publication_delay": "0s", "pii": "false"} | LOGGED,
)
