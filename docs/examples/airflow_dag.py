"""An Airflow DAG that takes in what a warehouse handed over, and trains on it.

An example to copy. It holds no logic of its own: each task is one command, which can be run again
at any time, and says by its exit code how it ended (docs/ingestion.md).

Workers need this package on their PATH, an environment as `mlops infra env` prints it, and the role
`<project>-<env>-jenkins`; the first task needs no more than `<project>-<env>-ingestion`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator

LANDING = "s3://{{ var.value.mlops_data_bucket }}/landing/payments/"

with DAG(
    dag_id="payments",
    description="Payments from the warehouse: raw table, features, online store, training",
    schedule="0 4 * * *",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=10)},
) as dag:
    ingest = BashOperator(
        task_id="ingest",
        # Exit code 2: files were refused, and the others are in. Nothing downstream runs on half a
        # delivery; correct the files and clear this task.
        bash_command=f"mlops data ingest {LANDING} --as warehouse --timezone Asia/Seoul "
        "--currency KRW --require-success --whole-folders",
    )
    build = BashOperator(task_id="build", bash_command="mlops features build")
    upsync = BashOperator(task_id="upsync", bash_command="mlops features upsync")
    train = BashOperator(
        task_id="train",
        # The same name twice runs once, so that a retry waits for the execution that it started.
        bash_command="mlops workflows run fraud --name airflow-{{ ds_nodash }} --wait",
    )

    ingest >> build >> [upsync, train]
