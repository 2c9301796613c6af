"""Partition projection over S3: no partition is in Glue, and only what a query needs is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.contract.athena.conftest import Shop

NewName = Callable[[], str]


def put(shop: Shop, uri: str, body: str) -> None:
    key = uri.removeprefix(f"s3://{shop.bucket}/")
    shop.client("s3").put_object(Bucket=shop.bucket, Key=key, Body=body.encode())


def test_projected_folders_are_read_where_their_template_says(
    shop: Shop, table_name: NewName
) -> None:
    name, location = table_name(), shop.folder()
    for day in ("2020/01/01", "2020/01/02"):
        for region in ("eu", "us"):
            put(shop, f"{location}{day}/{region}/x.csv", f"{day[-2:]},{region}\n")
    shop.made(f"""
        CREATE EXTERNAL TABLE {name} (n int, s string)
        PARTITIONED BY (region string, day string, device string)
        ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION '{location}'
        TBLPROPERTIES (
          'projection.enabled' = 'true',
          'projection.region.type' = 'enum', 'projection.region.values' = 'eu,us,ap',
          'projection.day.type' = 'date', 'projection.day.format' = 'yyyy/MM/dd',
          'projection.day.range' = '2019/12/01,NOW',
          'projection.device.type' = 'injected',
          'storage.location.template' = '{location}${{day}}/${{region}}/')""")
    sql = f"SELECT n, s, region, day, device FROM {name} WHERE device = 'd1' AND day < '2020/01/03'"
    assert sorted(shop.rows(sql)) == [
        (1, "eu", "eu", "2020/01/01", "d1"),
        (1, "us", "us", "2020/01/01", "d1"),
        (2, "eu", "eu", "2020/01/02", "d1"),
        (2, "us", "us", "2020/01/02", "d1"),
    ]
    execution = shop.run(f"{sql} AND region = 'eu' AND day = '2020/01/01'")
    assert execution["Statistics"]["DataScannedInBytes"] == len("01,eu\n")
    twice = f"SELECT count(*) FROM {name} WHERE device IN ('d1', 'd2') AND day < '2020/01/03'"
    assert shop.rows(twice) == [(8,)]
    reason = shop.run(f"SELECT * FROM {name}")["Status"]["StateChangeReason"]
    assert reason.startswith("CONSTRAINT_VIOLATION: For the injected projected partition column")


def test_an_insert_into_a_projected_table_is_read_without_a_partition(
    shop: Shop, table_name: NewName
) -> None:
    name, location = table_name(), shop.folder()
    shop.made(f"""
        CREATE EXTERNAL TABLE {name} (v int) PARTITIONED BY (p int) STORED AS PARQUET
        LOCATION '{location}' TBLPROPERTIES ('projection.enabled'='true',
        'projection.p.type'='integer', 'projection.p.range'='1,5')""")
    shop.made(f"INSERT INTO {name} VALUES (10, 1), (20, 2), (90, 9)")
    assert shop.rows(f"SELECT v, p FROM {name} ORDER BY p") == [(10, 1), (20, 2)]
    assert shop.rows(f"SHOW PARTITIONS {name}") == []


def test_partitions_that_share_a_folder_are_each_read(shop: Shop, table_name: NewName) -> None:
    name, location = table_name(), shop.folder()
    put(shop, f"{location}a/x.csv", "1\n")
    put(shop, f"{location}a/b/y.csv", "2\n")
    shop.made(
        f"CREATE EXTERNAL TABLE {name} (v int) PARTITIONED BY (p string) LOCATION '{location}'"
    )
    shop.made(
        f"ALTER TABLE {name} ADD PARTITION (p='1') LOCATION '{location}a/' "
        f"PARTITION (p='2') LOCATION '{location}a/' PARTITION (p='3') LOCATION '{location}a/b/'"
    )
    rows = shop.rows(f"SELECT p, v FROM {name} ORDER BY p, v")
    assert rows == [("1", 1), ("1", 2), ("2", 1), ("2", 2), ("3", 2)]
