"""What models ask for."""

from feast import FeatureService
from on_demand import payment_context
from views import customer_spend, terminal_risk

fraud_v1 = FeatureService(
    name="fraud_v1",
    features=[customer_spend, terminal_risk, payment_context],
    description="Inputs of the fraud model: a payment, its customer and its terminal.",
    owner="fraud-models@example.com",
    tags={"model": "fraud", "pii": "true"},
)
