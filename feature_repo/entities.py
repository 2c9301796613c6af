"""Whom features describe."""

from feast import Entity, ValueType

customer = Entity(
    name="customer",
    join_keys=["customer_id"],
    value_type=ValueType.STRING,
    description="The holder of the card that pays; a pseudonymous number.",
    owner="payments-data@example.com",
    tags={"pii": "true"},
)
terminal = Entity(
    name="terminal",
    join_keys=["terminal_id"],
    value_type=ValueType.STRING,
    description="The terminal that takes the payment.",
    owner="payments-data@example.com",
    tags={"pii": "false"},
)
