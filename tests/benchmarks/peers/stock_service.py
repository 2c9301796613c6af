"""The stock composition: FastAPI asks `feast serve` for features and MLflow's server for scores.

What a request says of itself is computed here, by the same function as in ours, so that the peer
need not be slower than it is for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic import BaseModel

sys.path.insert(0, os.environ["FEATURE_REPO"])
from transformations import payment_context

COLUMNS = os.environ["COLUMNS"].split(",")
CALLS: dict[str, httpx.AsyncClient] = {}


class Payment(BaseModel):
    customer_id: str
    terminal_id: str
    amount: float
    event_time: datetime


class Body(BaseModel):
    instances: list[Payment]


@asynccontextmanager
async def connected(_: FastAPI) -> AsyncIterator[None]:
    for name in ("FEAST", "MLFLOW"):
        CALLS[name] = httpx.AsyncClient(base_url=os.environ[name], timeout=10)
    yield


app = FastAPI(lifespan=connected)


@app.post("/predict")
async def predict(body: Body) -> dict[str, Any]:
    columns = {
        "amount": [one.amount for one in body.instances],
        "event_time": [one.event_time for one in body.instances],
        **await read_features(body.instances),
    }
    columns |= payment_context(columns)
    rows = [list(row) for row in zip(*(columns[name] for name in COLUMNS), strict=True)]
    answer = await CALLS["MLFLOW"].post("/invocations", json={"inputs": {"X": rows}})
    scores = answer.raise_for_status().json()["predictions"]["probabilities"]
    return {"predictions": [{"score": score[1]} for score in scores]}


async def read_features(instances: list[Payment]) -> dict[str, list[Any]]:
    entities = {
        "customer_id": [one.customer_id for one in instances],
        "terminal_id": [one.terminal_id for one in instances],
    }
    asked = {"feature_service": "fraud_v1", "entities": entities}
    answer = (await CALLS["FEAST"].post("/get-online-features", json=asked)).raise_for_status()
    found = answer.json()
    names = found["metadata"]["feature_names"]
    return {name: column["values"] for name, column in zip(names, found["results"], strict=True)}
