"""Features that are computed when they are asked for, from the request and stored features."""

import transformations
from feast import Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, UnixTimestamp
from views import customer_spend

OWNER = "payments-data@example.com"

payment_request = RequestSource(
    name="payment_request",
    schema=[
        Field(name="amount", dtype=Float64, description="In the platform's currency."),
        Field(name="event_time", dtype=UnixTimestamp, description="When the payment was made."),
    ],
    description="What a caller sends of a payment besides its ids.",
    owner=OWNER,
)
payment_context = on_demand_feature_view(
    name="payment_context",
    sources=[payment_request, customer_spend[["customer_mean_amount_30d"]]],
    # Feast infers these by running the function, and compares everything: no descriptions here.
    schema=[
        Field(name="is_night", dtype=Int64),
        Field(name="is_weekend", dtype=Int64),
        Field(name="amount_over_mean", dtype=Float64),
    ],
    mode="python",
    description="The time of a payment, and its amount against what the customer usually pays.",
    owner=OWNER,
    tags={"pii": "true"},
)(transformations.payment_context)
