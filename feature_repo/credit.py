"""Loans: who borrows, where, and what was known of both; inputs of the credit model.

The tables are loaded by 'mlops data load', where there are loans at all: an environment without
them works as before.
"""

from datetime import timedelta

import transformations
from feast import Entity, FeatureService, FeatureView, Field, RequestSource, ValueType
from feast.infra.offline_stores.contrib.athena_offline_store.athena_source import AthenaSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String
from sources import DATABASE
from views import PERSONAL

OWNER = "lending-data@example.com"
LOADED = {"publication_delay": "0s", "optional": "true"}


def loaded(table: str, description: str) -> AthenaSource:
    """A table of 'mlops data load'."""
    return AthenaSource(
        name=table,
        table=table,
        database=DATABASE,
        data_source="AwsDataCatalog",
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
        description=description,
        owner=OWNER,
    )


borrower = Entity(
    name="borrower",
    join_keys=["dob_ssn"],
    value_type=ValueType.STRING,
    description="Who borrows: date of birth and the last digits of the social security number.",
    owner=OWNER,
    tags={"pii": "true"},
)
zipcode = Entity(
    name="zipcode",
    join_keys=["zipcode"],
    value_type=ValueType.INT64,
    description="Where the borrower lives.",
    owner=OWNER,
    tags={"pii": "false"},
)
credit_history = FeatureView(
    name="credit_history",
    entities=[borrower],
    ttl=timedelta(days=730),
    schema=[
        Field(name="dob_ssn", dtype=String, tags=PERSONAL),
        Field(name="credit_card_due", dtype=Int64, description="Owed on credit cards."),
        Field(name="mortgage_due", dtype=Int64, description="Owed on mortgages."),
        Field(name="missed_payments_1y", dtype=Int64, description="Missed in the last year."),
    ],
    source=loaded("credit_history", "What a credit bureau knows of a borrower."),
    online=True,
    description="What a borrower owes, and how well it was paid back.",
    owner=OWNER,
    tags=LOADED | PERSONAL,
)
zipcode_economy = FeatureView(
    name="zipcode_economy",
    entities=[zipcode],
    ttl=timedelta(days=3650),
    schema=[
        Field(name="zipcode", dtype=Int64),
        Field(name="tax_returns_filed", dtype=Int64, description="Of a year."),
        Field(name="population", dtype=Int64, description="As estimated."),
        Field(name="total_wages", dtype=Int64, description="Of a year, in dollars."),
    ],
    source=loaded("zipcodes", "A census of zip codes."),
    online=True,
    description="How many people live in a zip code, and what they earn.",
    owner=OWNER,
    tags=LOADED | {"pii": "false"},
)
loan_request = RequestSource(
    name="loan_request",
    schema=[
        Field(name="person_age", dtype=Int64),
        Field(name="person_income", dtype=Float64, description="Of a year, in dollars."),
        Field(name="person_home_ownership", dtype=String),
        Field(name="person_emp_length", dtype=Float64, description="Years with the employer."),
        Field(name="loan_intent", dtype=String),
        Field(name="loan_amnt", dtype=Float64, description="In dollars."),
        Field(name="loan_int_rate", dtype=Float64, description="Percent a year."),
    ],
    description="What a caller sends of an application besides its ids.",
    owner=OWNER,
)
loan_terms = on_demand_feature_view(
    name="loan_terms",
    sources=[loan_request],
    schema=[
        Field(name="loan_over_income", dtype=Float64),
        Field(name="home_code", dtype=Int64),
        Field(name="intent_code", dtype=Int64),
    ],
    mode="python",
    description="The loan against the income, and its texts as numbers.",
    owner=OWNER,
    tags={"pii": "true"},
)(transformations.loan_terms)
credit_v1 = FeatureService(
    name="credit_v1",
    features=[credit_history, zipcode_economy, loan_terms],
    description="Inputs of the credit model: an application, its borrower and its zip code.",
    owner="lending-models@example.com",
    tags={"model": "credit", "pii": "true"},
)
