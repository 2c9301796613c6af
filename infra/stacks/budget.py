"""What a month may cost, and who is told before it does. An administrator's: whoever spends does
not set the limit."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_budgets as budgets

from mlops.names import Names

TOLD = (("ACTUAL", 80), ("FORECASTED", 100))
"""When: a kind of sum, and its percent of the budget."""


class Budget(cdk.Stack):
    """Of everything that bears the environment's tag."""

    def __init__(
        self, scope: cdk.App, name: str, *, names: Names, dollars: int, env: cdk.Environment
    ) -> None:
        super().__init__(scope, name, env=env, description="What a month may cost")
        kind = budgets.CfnBudget
        topic = kind.SubscriberProperty(address=names.alarms_topic_arn, subscription_type="SNS")
        kind(
            self,
            "Month",
            budget=kind.BudgetDataProperty(
                budget_name=names.prefix,
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=kind.SpendProperty(amount=dollars, unit="USD"),
                cost_filters={"TagKeyValue": [f"user:environment${names.env}"]},
            ),
            notifications_with_subscribers=[
                kind.NotificationWithSubscribersProperty(
                    notification=kind.NotificationProperty(
                        notification_type=kind_of_sum,
                        comparison_operator="GREATER_THAN",
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[topic],
                )
                for kind_of_sum, percent in TOLD
            ],
        )
