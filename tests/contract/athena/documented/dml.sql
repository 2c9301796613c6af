-- Athena's DML: SELECT over tables, INSERT INTO, CREATE TABLE AS, UNLOAD, EXPLAIN, PREPARE
-- https://docs.aws.amazon.com/athena/latest/ug/dml-queries-functions-operators.html

CREATE TABLE cities WITH (format = 'PARQUET', write_compression = 'SNAPPY') AS
SELECT * FROM (VALUES ('San Francisco', 'CA', 37.7749E0), ('Austin', 'TX', 30.2672E0)) AS t(city, state, latitude);  -- ok
CREATE TABLE cities AS SELECT 1 AS x;  -- ! TABLE_ALREADY_EXISTS
CREATE TABLE IF NOT EXISTS cities AS SELECT 1 AS x;  -- ok
SELECT * FROM cities ORDER BY city;
-- city          | state | latitude
-- Austin        | TX    | 30.2672
-- San Francisco | CA    | 37.7749

INSERT INTO cities VALUES ('Seattle', 'WA', 47.6062E0), ('Boise', NULL, NULL);  -- ok
INSERT INTO cities (city) VALUES ('Reno');  -- ok
INSERT INTO cities (state, city) SELECT 'OR', 'Salem';  -- ok
SELECT city, state FROM cities WHERE latitude IS NULL ORDER BY city;
-- city  | state
-- Boise | NULL
-- Reno  | NULL
-- Salem | OR

INSERT INTO cities SELECT 1;  -- ! TYPE_MISMATCH: Insert query has mismatched column types
INSERT INTO cities (nothing) VALUES (1);  -- ! COLUMN_NOT_FOUND
CREATE TABLE empty_copy AS SELECT * FROM cities WITH NO DATA;  -- ok
SELECT count(*) FROM empty_copy;
-- _col0
-- 0

CREATE TABLE by_state WITH (format = 'ORC', orc_compression = 'SNAPPY', partitioned_by = ARRAY['state']) AS
SELECT city, latitude, state FROM cities WHERE state IS NOT NULL;  -- ok
SHOW PARTITIONS by_state;
-- partition
-- state=CA
-- state=OR
-- state=TX
-- state=WA

SELECT state, count(*) AS n FROM by_state WHERE state IN ('CA', 'OR') GROUP BY state ORDER BY state;
-- state | n
-- CA    | 1
-- OR    | 1

CREATE TABLE as_text WITH (format = 'TEXTFILE', field_delimiter = ',') AS SELECT city, state FROM cities;  -- ok
SELECT count(*), count(state) FROM as_text;
-- _col0 | _col1
-- 6     | 4

CREATE TABLE bucketed WITH (bucketed_by = ARRAY['city'], bucket_count = 3) AS SELECT * FROM cities;  -- ! NOT_SUPPORTED: The local Athena does not support the table property bucketed_by
CREATE TABLE iceberg WITH (table_type = 'ICEBERG', is_external = false, location = 's3://${bucket}/i/') AS SELECT 1 AS x;  -- ! NOT_SUPPORTED: The local Athena does not support Iceberg tables
CREATE TABLE avro WITH (format = 'AVRO') AS SELECT 1 AS x;  -- ! NOT_SUPPORTED: The local Athena does not support CTAS in the format AVRO
CREATE TABLE wrong_order WITH (partitioned_by = ARRAY['city']) AS SELECT city, state FROM cities;  -- ! HIVE_COLUMN_ORDER_MISMATCH
UNLOAD (SELECT city FROM cities) TO 's3://${bucket}/unloaded/' WITH (format = 'PARQUET', compression = 'SNAPPY');  -- ok
UNLOAD (SELECT city FROM cities) TO 's3://${bucket}/unloaded/' WITH (format = 'JSON');  -- ! HIVE_PATH_ALREADY_EXISTS
UNLOAD (SELECT city, state FROM cities) TO 's3://${bucket}/by_state/' WITH (format = 'TEXTFILE', field_delimiter = '|', partitioned_by = ARRAY['state']);  -- ok
UNLOAD (SELECT 1 AS x) TO 's3://${bucket}/avro/' WITH (format = 'AVRO');  -- ! NOT_SUPPORTED: The local Athena does not support UNLOAD in the format AVRO

EXPLAIN SELECT city FROM by_state WHERE state = 'CA';
-- Query Plan
-- - Output[city] => [city:varchar]
-- - TableScan[awsdatacatalog.${db}.by_state] => [city:varchar, state:varchar]
-- city := city:string:REGULAR
-- state := state:string:PARTITION_KEY
-- :: 1 partitions [[CA]]

EXPLAIN (TYPE VALIDATE) SELECT city FROM by_state;
-- Valid
-- true

EXPLAIN (FORMAT JSON) INSERT INTO cities SELECT * FROM cities;  -- ok
EXPLAIN (FORMAT GRAPHVIZ) SELECT 1;  -- ok
EXPLAIN (TYPE VALIDATE) SELECT nothing FROM cities;  -- ! COLUMN_NOT_FOUND: line 1:32: Column 'nothing' cannot be resolved
EXPLAIN (TYPE IO, FORMAT JSON) SELECT 1;  -- ! NOT_SUPPORTED
EXPLAIN (FORMAT YAML) SELECT 1;  -- ! SYNTAX_ERROR
EXPLAIN ANALYZE SELECT 1;  -- ! NOT_SUPPORTED: The local Athena does not support EXPLAIN ANALYZE

PREPARE by_name FROM SELECT state FROM cities WHERE city = ?;  -- ok
EXECUTE by_name USING 'Austin';
-- state
-- TX

DEALLOCATE PREPARE by_name;  -- ok
EXECUTE by_name USING 'Austin';  -- ! NOT_FOUND

SELECT count(*) FROM cities FOR TIMESTAMP AS OF TIMESTAMP '2020-01-01 00:00:00 UTC';  -- ! NOT_SUPPORTED
DELETE FROM cities WHERE city = 'Reno';  -- ! NOT_SUPPORTED: The local Athena does not support DELETE
UPDATE cities SET state = 'NV' WHERE city = 'Reno';  -- ! NOT_SUPPORTED: The local Athena does not support UPDATE
MERGE INTO cities USING by_state ON cities.city = by_state.city WHEN MATCHED THEN DELETE;  -- ! NOT_SUPPORTED: The local Athena does not support MERGE
OPTIMIZE cities REWRITE DATA USING BIN_PACK;  -- ! NOT_SUPPORTED: The local Athena does not support OPTIMIZE
VACUUM cities;  -- ! NOT_SUPPORTED: The local Athena does not support VACUUM
USING EXTERNAL FUNCTION f(x int) RETURNS int LAMBDA 'l' SELECT f(1);  -- ! NOT_SUPPORTED: The local Athena does not support USING EXTERNAL FUNCTION
SELECT city FROM cities WHERE "$path" LIKE 's3://${bucket}/%' ORDER BY city LIMIT 1;
-- city
-- Austin

SELECT * FROM information_schema.tables;  -- ! NOT_SUPPORTED
DROP TABLE cities;  -- ok
DROP TABLE empty_copy;  -- ok
DROP TABLE by_state;  -- ok
DROP TABLE as_text;  -- ok
