-- Aggregate functions
-- https://trino.io/docs/current/functions/aggregate.html

SELECT count(*) FROM (VALUES 1, NULL) AS t(x);  -- bigint => 2
SELECT count(x) FROM (VALUES 1, NULL) AS t(x);  -- bigint => 1
SELECT count(DISTINCT x) FROM (VALUES 1, 1, 2) AS t(x);  -- bigint => 2
SELECT count_if(x > 1) FROM (VALUES 1, 2) AS t(x);  -- bigint => 1
SELECT count_if(x > 1) FROM (VALUES CAST(NULL AS integer)) AS t(x);  -- bigint => 0
SELECT count_if(x > 1) FROM (VALUES 1) AS t(x) WHERE x > 1;  -- bigint => 0
SELECT sum(x) FROM (VALUES 1, 2) AS t(x);  -- bigint => 3
SELECT sum(x) FROM (VALUES 1.5, 2.5) AS t(x);  -- decimal(38,1) => 4.0
SELECT avg(x) FROM (VALUES 1, 2) AS t(x);  -- double => 1.5
SELECT avg(x) FROM (VALUES 1.00, 2.01) AS t(x);  -- decimal(3,2) => 1.51
SELECT sum(x) FILTER (WHERE x > 1) FROM (VALUES 1, 2, 3) AS t(x);  -- bigint => 5
SELECT max_by(x, y) FROM (VALUES (NULL, 2), (1, 1)) AS t(x, y);  -- integer => NULL
SELECT min_by(x, y) FROM (VALUES ('a', 2), ('b', 1)) AS t(x, y);  -- => b
SELECT arbitrary(x) FROM (VALUES NULL, 7) AS t(x);  -- integer => 7
SELECT array_agg(x ORDER BY x DESC) FROM (VALUES 1, 2) AS t(x);  -- array(integer) => [2, 1]
SELECT approx_percentile(x, 0.5) FROM (VALUES 1, 2, 3) AS t(x);  -- bigint => 2
SELECT approx_distinct(x) FROM (VALUES 1, 1, 3) AS t(x);  -- bigint => 2
SELECT bool_and(x > 0) FROM (VALUES 1, 2) AS t(x);  -- boolean => true
SELECT stddev(x) FROM (VALUES 1, 3) AS t(x);  -- double => 1.4142135623730951
SELECT listagg(x, ',') WITHIN GROUP (ORDER BY x) FROM (VALUES 'b', 'a') AS t(x);  -- => a,b
SELECT map_agg(x, y) FROM (VALUES ('a', 1)) AS t(x, y);  -- map(varchar(1), integer) => {a=1}
SELECT histogram(x) FROM (VALUES 1, 1) AS t(x);  -- map(integer, bigint) => {1=2}
SELECT (SELECT max(x) FROM (VALUES 1, 2) AS t(x));  -- integer => 2
SELECT EXISTS (SELECT 1 WHERE 1 = 2);  -- boolean => false
SELECT 2 IN (SELECT x FROM (VALUES 1, 2) AS t(x));  -- boolean => true
SELECT 3 > ALL (SELECT x FROM (VALUES 1, 2) AS t(x));  -- boolean => true

SELECT listagg(value, ',') WITHIN GROUP (ORDER BY value) csv_value FROM (VALUES 'a', 'c', 'b') t(value);
-- csv_value
-- a,b,c

SELECT listagg(value, ',' ON OVERFLOW ERROR) WITHIN GROUP (ORDER BY value) csv_value FROM (VALUES 'a', 'b', 'c') t(value);
-- csv_value
-- a,b,c

SELECT listagg(value, ',' ON OVERFLOW TRUNCATE '.....' WITH COUNT) WITHIN GROUP (ORDER BY value) FROM (VALUES 'a', 'b', 'c') t(value);  -- => a,b,c

SELECT id, listagg(value, ',') WITHIN GROUP (ORDER BY o) csv_value FROM (VALUES (100, 1, 'a'), (200, 3, 'c'), (200, 2, 'b')) t(id, o, value) GROUP BY id ORDER BY id;
-- id  | csv_value
-- 100 | a
-- 200 | b,c

SELECT country, listagg(city, ',') WITHIN GROUP (ORDER BY population DESC) FILTER (WHERE population >= 10000000) megacities FROM (VALUES ('India', 'Bangalore', 13700000), ('India', 'Chennai', 12200000), ('India', 'Ranchi', 1547000), ('Austria', 'Vienna', 1897000), ('Poland', 'Warsaw', 1765000)) t(country, city, population) GROUP BY country ORDER BY country;
-- country | megacities
-- Austria | NULL
-- India   | Bangalore,Chennai
-- Poland  | NULL

SELECT reduce_agg(value, 0, (a, b) -> a + b, (a, b) -> a + b) sum_values FROM (VALUES (1), (2), (3), (4), (5)) AS t(value);
-- sum_values
-- 15

SELECT any_value(x) FROM (VALUES NULL, 3) AS t(x);  -- integer => 3
SELECT array_agg(x) FILTER (WHERE x IS NOT NULL) FROM (VALUES 1, NULL) AS t(x);  -- array(integer) => [1]
SELECT array_agg(DISTINCT x ORDER BY x) FROM (VALUES 2, 1, 2) AS t(x);  -- array(integer) => [1, 2]
SELECT array_agg(x ORDER BY y DESC, x) FROM (VALUES (1, 1), (3, 2), (2, 2)) AS t(x, y);  -- array(integer) => [2, 3, 1]
SELECT array_agg(x) FROM (VALUES 1) AS t(x) WHERE x > 1;  -- array(integer) => NULL
SELECT avg(x) FROM (VALUES REAL '1', REAL '2') AS t(x);  -- real => 1.5
SELECT avg(x) FROM (VALUES interval '1' day, interval '2' day) AS t(x);  -- interval day to second => 1 12:00:00.000
SELECT sum(x) FROM (VALUES interval '1' day, interval '2' day) AS t(x);  -- interval day to second => 3 00:00:00.000
SELECT bool_or(x) FROM (VALUES false, true) AS t(x);  -- boolean => true
SELECT every(x) FROM (VALUES false, true) AS t(x);  -- boolean => false
SELECT count(x), sum(x), max(x) FROM (VALUES 1) AS t(x) WHERE x > 1;
-- _col0 | _col1 | _col2
-- 0     | NULL  | NULL

SELECT geometric_mean(x) FROM (VALUES 2, 8) AS t(x);  -- double => 4.0
SELECT max(x, 2) FROM (VALUES 1, 3, 2, NULL) AS t(x);  -- array(integer) => [3, 2]
SELECT min(x, 2) FROM (VALUES 1, 3, 2, NULL) AS t(x);  -- array(integer) => [1, 2]
SELECT max_by(x, y, 2) FROM (VALUES ('a', 1), ('b', 3), ('c', 2)) AS t(x, y);  -- array(varchar(1)) => [b, c]
SELECT min_by(x, y, 2) FROM (VALUES ('a', 1), ('b', 3), ('c', 2)) AS t(x, y);  -- array(varchar(1)) => [a, c]
SELECT bitwise_and_agg(x), bitwise_or_agg(x), bitwise_xor_agg(x) FROM (VALUES 6, 3) AS t(x);
-- _col0 | _col1 | _col2
-- 2     | 7     | 5

SELECT map_agg(k, v) FROM (VALUES ('a', 1), ('a', 1), ('b', NULL)) AS t(k, v);  -- map(varchar(1), integer) => {a=1, b=null}
SELECT multimap_agg(k, v) FROM (VALUES ('a', 1), ('b', 2), ('a', 3)) AS t(k, v);  -- map(varchar(1), array(integer)) => {a=[1, 3], b=[2]}
SELECT map_union(m) FROM (VALUES MAP(ARRAY['a'], ARRAY[1]), MAP(ARRAY['b'], ARRAY[2])) AS t(m);  -- map(varchar(1), integer) => {a=1, b=2}
SELECT approx_distinct(x, 0.023e0) FROM (VALUES 1, 2, 2, NULL) AS t(x);  -- bigint => 2
SELECT approx_distinct(x) FROM (VALUES CAST(NULL AS integer)) AS t(x);  -- bigint => 0
SELECT approx_most_frequent(1, x, 10) FROM (VALUES 'a', 'b', 'a') AS t(x);  -- => {a=2}
SELECT approx_percentile(x, ARRAY[0.25, 0.75]) FROM (VALUES 1, 2, 3, 4) AS t(x);  -- array(bigint) => [1, 3]
SELECT approx_percentile(x, w, 0.5) FROM (VALUES (1, 1), (2, 1), (9, 8)) AS t(x, w);  -- bigint => 9
SELECT corr(y, x) FROM (VALUES (1, 1), (2, 2), (3, 3)) AS t(y, x);  -- double => 1.0
SELECT covar_pop(y, x), covar_samp(y, x), regr_slope(y, x), regr_intercept(y, x) FROM (VALUES (1, 1), (3, 2)) AS t(y, x);
-- _col0 | _col1 | _col2 | _col3
-- 0.5   | 1.0   | 2.0   | -1.0

SELECT round(kurtosis(x), 6), round(skewness(x), 6) FROM (VALUES 1, 2, 3, 4, 10) AS t(x);
-- _col0   | _col1
-- 3.152   | 1.13842

SELECT stddev(x), stddev_samp(x), stddev_pop(x), variance(x), var_samp(x), var_pop(x) FROM (VALUES 1, 3) AS t(x);
-- _col0              | _col1              | _col2 | _col3 | _col4 | _col5
-- 1.4142135623730951 | 1.4142135623730951 | 1.0   | 2.0   | 2.0   | 1.0

SELECT stddev(x) FROM (VALUES 1) AS t(x);  -- double => NULL
SELECT entropy(x) FROM (VALUES 1, 1) AS t(x);  -- double => 1.0
SELECT checksum(x) FROM (VALUES 1) AS t(x);  -- ! NOT_SUPPORTED: line 1:8: The local Athena does not support the function checksum
SELECT numeric_histogram(2, x) FROM (VALUES 1) AS t(x);  -- ! NOT_SUPPORTED
SELECT approx_set(x) FROM (VALUES 1) AS t(x);  -- ! NOT_SUPPORTED
SELECT count(DISTINCT (x, y)) FROM (VALUES (1, 1), (1, 1), (1, 2)) AS t(x, y);  -- bigint => 2
SELECT sum(DISTINCT x) FROM (VALUES 1, 1, 2) AS t(x);  -- bigint => 3
SELECT max(ROW(x, y)) FROM (VALUES (1, 'b'), (2, 'a')) AS t(x, y);  -- => {field0=2, field1=a}
SELECT sum(x) FROM (VALUES 9223372036854775807, 1) AS t(x);  -- ! NUMERIC_VALUE_OUT_OF_RANGE
SELECT sum(x) FROM (VALUES 'a') AS t(x);  -- ! TYPE_MISMATCH: line 1:8: Unexpected parameters (varchar(1)) for function sum
