"""On-demand functions: plain Python without Feast, the same in training and in serving.

Each takes columns of n values and returns columns of n values.
"""

from datetime import UTC
from typing import Any


def payment_context(inputs: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """What a payment's own time and amount say.

    Night is up to and with the hour of 6, weekend is Saturday and Sunday, both in UTC. The ratio
    is 0 where the customer's mean is missing or 0.
    """
    times = [time.astimezone(UTC) for time in inputs["event_time"]]
    amounts = zip(inputs["amount"], inputs["customer_mean_amount_30d"], strict=True)
    return {
        "is_night": [int(time.hour <= 6) for time in times],
        "is_weekend": [int(time.weekday() >= 5) for time in times],
        "amount_over_mean": [float(amount / mean) if mean else 0.0 for amount, mean in amounts],
    }


def loan_terms(inputs: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """A loan against its borrower's income, 0 without one, and its texts as numbers.

    A text's number is its place among those that are known; -1 is any other.
    """
    homes = ["MORTGAGE", "OTHER", "OWN", "RENT"]
    intents = ["DEBTCONSOLIDATION", "EDUCATION", "HOMEIMPROVEMENT", "MEDICAL", "PERSONAL"]
    intents += ["VENTURE"]
    amounts = zip(inputs["loan_amnt"], inputs["person_income"], strict=True)
    home, intent = inputs["person_home_ownership"], inputs["loan_intent"]
    return {
        "loan_over_income": [
            float(amount / income) if income else 0.0 for amount, income in amounts
        ],
        "home_code": [homes.index(text) if text in homes else -1 for text in home],
        "intent_code": [intents.index(text) if text in intents else -1 for text in intent],
    }
