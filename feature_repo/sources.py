"""Where features are stored: the views that 'mlops features build' keeps."""

import os

from feast.infra.offline_stores.contrib.athena_offline_store.athena_source import AthenaSource

OWNER = "payments-data@example.com"
DATABASE = os.environ["FEAST_DATABASE"]

customer_spend_source = AthenaSource(
    name="customer_spend",
    table="customer_spend",
    database=DATABASE,
    data_source="AwsDataCatalog",
    timestamp_field="event_time",
    created_timestamp_column="created",
    date_partition_column="day",
    description="Daily snapshots of every customer's payments, at 00:00 UTC.",
    owner=OWNER,
)
terminal_risk_source = AthenaSource(
    name="terminal_risk",
    table="terminal_risk",
    database=DATABASE,
    data_source="AwsDataCatalog",
    timestamp_field="event_time",
    created_timestamp_column="created",
    date_partition_column="day",
    description="Daily snapshots of every terminal's payments and frauds, at 00:00 UTC.",
    owner=OWNER,
)
