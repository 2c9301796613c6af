-- Comparison, logical and conditional expressions, and conversions
-- https://trino.io/docs/current/functions/comparison.html, …/logical.html, …/conditional.html, …/conversion.html

SELECT 3 BETWEEN 2 AND 6;  -- boolean => true
SELECT 3 NOT BETWEEN 2 AND 6;  -- boolean => false
SELECT NULL BETWEEN 2 AND 4;  -- boolean => NULL
SELECT 2 BETWEEN NULL AND 6;  -- boolean => NULL
SELECT 2 BETWEEN 3 AND NULL;  -- boolean => false
SELECT 8 BETWEEN NULL AND 6;  -- boolean => false
SELECT 3 <= 3;  -- boolean => true
SELECT 3 >= 4;  -- boolean => false
SELECT 3 BETWEEN SYMMETRIC 6 AND 2;  -- ! NOT_SUPPORTED
SELECT 'a' IS NOT NULL;  -- boolean => true
SELECT 'Paul' BETWEEN 'John' AND 'Ringo';  -- boolean => true
SELECT 'John' BETWEEN 2.3 AND 35.2;  -- ! TYPE_MISMATCH: line 1:8: Cannot check if varchar(4) is BETWEEN decimal(2,1)
SELECT NULL IS NULL;  -- boolean => true
SELECT 3.0 IS NULL;  -- boolean => false
SELECT NULL IS DISTINCT FROM NULL;  -- boolean => false
SELECT NULL IS NOT DISTINCT FROM NULL;  -- boolean => true
SELECT 1 IS DISTINCT FROM NULL;  -- boolean => true
SELECT 1 = NULL;  -- boolean => NULL
SELECT 1 <> 2;  -- boolean => true
SELECT 1 != 2;  -- boolean => true
SELECT greatest(1, 2.5);  -- decimal(11,1) => 2.5
SELECT least('b', 'a');  -- => a
SELECT least(1, NULL);  -- integer => NULL
SELECT 'hello' = ANY (VALUES 'hello', 'world');  -- boolean => true
SELECT 21 < ALL (VALUES 19, 20, 21);  -- boolean => false
SELECT 42 >= SOME (SELECT 41 UNION ALL SELECT 42 UNION ALL SELECT 43);  -- boolean => true
SELECT * FROM (VALUES 'America', 'Asia', 'Africa', 'Europe', 'Australia', 'Antarctica') AS t (continent) WHERE continent LIKE 'E%';
-- continent
-- Europe

SELECT * FROM (VALUES 'America', 'Asia', 'Africa', 'Europe', 'Australia', 'Antarctica') AS t (continent) WHERE continent NOT LIKE 'E%';
-- continent
-- America
-- Asia
-- Africa
-- Australia
-- Antarctica

SELECT * FROM (VALUES 'America', 'Asia', 'Africa', 'Europe', 'Australia', 'Antarctica') AS t (continent) WHERE continent LIKE 'A__a';
-- continent
-- Asia

SELECT 'South_America' LIKE 'South\_America' ESCAPE '\';  -- boolean => true
SELECT 'SouthXAmerica' LIKE 'South\_America' ESCAPE '\';  -- boolean => false
SELECT 'a' LIKE NULL;  -- boolean => NULL
SELECT 1 IN (1, NULL);  -- boolean => true
SELECT 2 IN (1, NULL);  -- boolean => NULL
SELECT 2 NOT IN (1, 3);  -- boolean => true
SELECT (1, 'a') IN (SELECT * FROM (VALUES (1, 'a'), (2, 'b')));  -- boolean => true
SELECT CAST(NULL AS boolean) AND false;  -- boolean => false
SELECT CAST(NULL AS boolean) OR true;  -- boolean => true
SELECT CAST(NULL AS boolean) AND true;  -- boolean => NULL
SELECT NOT CAST(NULL AS boolean);  -- boolean => NULL
SELECT true AND 1;  -- ! TYPE_MISMATCH: line 1:17: Logical expression of AND

SELECT a, CASE a WHEN 1 THEN 'one' WHEN 2 THEN 'two' ELSE 'many' END FROM (VALUES 1, 2, 3, 4) AS t (a);
-- a | _col1
-- 1 | one
-- 2 | two
-- 3 | many
-- 4 | many

SELECT a, b, CASE WHEN a = 1 THEN 'aaa' WHEN b = 2 THEN 'bbb' ELSE 'ccc' END FROM (VALUES (1, 1), (2, 2), (3, 3)) AS t (a, b);
-- a | b | _col2
-- 1 | 1 | aaa
-- 2 | 2 | bbb
-- 3 | 3 | ccc

SELECT CASE WHEN false THEN 1 END;  -- integer => NULL
SELECT if(true, 'yes', 'no');  -- => yes
SELECT if(NULL, 1, 2);  -- integer => 2
SELECT coalesce(NULL, 2, 3);  -- integer => 2
SELECT coalesce(1, 2.5);  -- decimal(11,1) => 1.0
SELECT nullif(1, 2);  -- integer => 1
SELECT nullif(1, 1);  -- integer => NULL
SELECT TRY(CAST('A00' AS integer));  -- integer => NULL
SELECT coalesce(TRY(100 / 0), 0);  -- integer => 0
SELECT TRY(date_parse('x', '%Y'));  -- timestamp(3) => NULL
SELECT TRY(ARRAY[1][2]);  -- integer => NULL
SELECT TRY(json_parse('{'));  -- json => NULL
SELECT CASE WHEN x = 0 THEN 0 ELSE 10 / x END FROM (VALUES 0, 5) AS t(x) ORDER BY 1;
-- _col0
-- 0
-- 2

SELECT CAST('1' AS tinyint), CAST('2' AS smallint), CAST('3' AS bigint), CAST('4.5' AS double), CAST('5.5' AS real), CAST('true' AS boolean);
-- _col0 | _col1 | _col2 | _col3 | _col4 | _col5
-- 1     | 2     | 3     | 4.5   | 5.5   | true

SELECT CAST('abc' AS integer);  -- ! INVALID_CAST_ARGUMENT: Cannot cast 'abc' to
SELECT CAST('1.5' AS integer);  -- ! INVALID_CAST_ARGUMENT: Cannot cast '1.5' to
SELECT CAST(' 1' AS integer);  -- ! INVALID_CAST_ARGUMENT
SELECT CAST(300 AS tinyint);  -- ! NUMERIC_VALUE_OUT_OF_RANGE
SELECT TRY_CAST('1_000' AS double);  -- double => NULL
SELECT TRY_CAST('NaN' AS double);  -- double => NaN
SELECT TRY_CAST('1e3' AS double);  -- double => 1000.0
SELECT TRY_CAST('abc' AS date);  -- date => NULL
SELECT CAST('yes' AS boolean);  -- ! INVALID_CAST_ARGUMENT
SELECT CAST('t' AS boolean);  -- boolean => true
SELECT CAST('0' AS boolean);  -- boolean => false
SELECT CAST(1 AS boolean);  -- boolean => true
SELECT CAST(true AS integer);  -- integer => 1
SELECT CAST(true AS varchar);  -- => true
SELECT CAST(123.45 AS decimal(5,1));  -- decimal(5,1) => 123.5
SELECT CAST('123.456' AS decimal(5,2));  -- decimal(5,2) => 123.46
SELECT CAST(1234567 AS decimal(5,2));  -- ! INVALID_CAST_ARGUMENT
SELECT CAST(0.1e0 + 0.2e0 AS varchar);  -- => 3.0000000000000004E-1
SELECT CAST(DATE '2020-01-01' AS varchar);  -- => 2020-01-01
SELECT CAST(DATE '2020-01-01' AS timestamp);  -- timestamp(3) => 2020-01-01 00:00:00.000
SELECT CAST(TIMESTAMP '2020-01-01 23:59:59' AS date);  -- date => 2020-01-01
SELECT CAST('2020-01-01 10:00' AS timestamp(0));  -- timestamp(0) => 2020-01-01 10:00:00
SELECT CAST('abc' AS char(5)) = 'abc';  -- ! NOT_SUPPORTED
SELECT CAST(ARRAY[1, 2] AS array(varchar));  -- array(varchar) => [1, 2]
SELECT CAST(MAP(ARRAY[1], ARRAY['2']) AS map(varchar, bigint));  -- map(varchar, bigint) => {1=2}
SELECT CAST(1 AS date);  -- ! TYPE_MISMATCH: line 1:13: Cannot cast integer to date
SELECT 1 || 'a';  -- ! TYPE_MISMATCH: line 1:8: Unexpected parameters (integer, varchar(1)) for function concat

-- NaN is equal to nothing, and neither above nor below
-- https://trino.io/docs/current/language/types.html (double), IEEE 754
SELECT nan() = nan();  -- boolean => false
SELECT nan() <> nan();  -- boolean => true
SELECT nan() > 1;  -- boolean => false
SELECT 1 < nan();  -- boolean => false
SELECT nan() <= REAL '1';  -- boolean => false
SELECT nan() >= nan();  -- boolean => false
SELECT nan() = CAST(NULL AS double);  -- boolean => NULL
SELECT NULL < nan();  -- boolean => NULL
SELECT nan() BETWEEN 0 AND nan();  -- boolean => false
SELECT nan() IN (1e0, nan());  -- boolean => false
SELECT nan() IN (SELECT nan());  -- boolean => false
SELECT 1e0 NOT IN (SELECT nan());  -- boolean => true
SELECT NULLIF(nan(), nan());  -- double => NaN
SELECT nan() IS DISTINCT FROM nan();  -- boolean => false
SELECT x FROM (VALUES 1e0, nan(), NULL) AS t(x) WHERE x > 0;  -- double => 1.0
SELECT count(*) FROM (VALUES nan(), 1e0) AS a(x) JOIN (VALUES nan(), 1e0) AS b(x) USING (x);  -- bigint => 1
SELECT count(b.x) FROM (VALUES nan(), 1e0) AS a(x) LEFT JOIN (VALUES nan(), 1e0) AS b(x) ON a.x = b.x;  -- bigint => 1

-- NULL inside an array, a map or a row leaves open whether it equals another
-- https://trino.io/docs/current/functions/comparison.html, …/language/types.html
SELECT ROW(1, NULL) = ROW(1, NULL);  -- boolean => NULL
SELECT ROW(1, NULL) = ROW(2, NULL);  -- boolean => false
SELECT ROW(1, NULL) <> ROW(2, NULL);  -- boolean => true
SELECT (1, 2) = (1, 2);  -- boolean => true
SELECT ARRAY[1, NULL] = ARRAY[1, NULL];  -- boolean => NULL
SELECT ARRAY[1, NULL] = ARRAY[2, NULL];  -- boolean => false
SELECT ARRAY[1] = ARRAY[1, NULL];  -- boolean => false
SELECT ARRAY[ARRAY[1, 2]] <> ARRAY[ARRAY[1, 3]];  -- boolean => true
SELECT ARRAY[ROW(1, NULL)] = ARRAY[ROW(1, NULL)];  -- boolean => NULL
SELECT MAP(ARRAY[1], ARRAY[NULL]) = MAP(ARRAY[1], ARRAY[NULL]);  -- boolean => NULL
SELECT MAP(ARRAY[1, 2], ARRAY[3, 4]) = MAP(ARRAY[2, 1], ARRAY[4, 3]);  -- boolean => true
SELECT MAP(ARRAY[1], ARRAY[2]) <> MAP(ARRAY[2], ARRAY[2]);  -- boolean => true
SELECT MAP(ARRAY[1], ARRAY[2]) < MAP(ARRAY[2], ARRAY[2]);  -- ! TYPE_MISMATCH
SELECT ARRAY[1, 2] < ARRAY[1, 3];  -- boolean => true
SELECT ARRAY[1, NULL] < ARRAY[1, 3];  -- ! NOT_SUPPORTED
SELECT ROW(1, NULL) < ROW(1, 3);  -- ! NOT_SUPPORTED
SELECT ARRAY[1] IN (ARRAY[2], ARRAY[NULL]);  -- boolean => NULL
SELECT (1, 2) IN (SELECT 1, 2);  -- boolean => true
SELECT (1, NULL) IN (SELECT 1, 2);  -- boolean => NULL
SELECT (1, NULL) IN (SELECT 2, 2);  -- boolean => false
SELECT (1, 2) NOT IN (SELECT 1, NULL);  -- boolean => NULL
SELECT (1, 2) NOT IN (SELECT 2, NULL);  -- boolean => true
SELECT (1, 2) IN (SELECT 1, 2 WHERE false);  -- boolean => false
SELECT x FROM (VALUES (1, 2), (1, NULL), (3, 4)) AS t(x, y) WHERE (x, y) NOT IN (SELECT a, b FROM (VALUES (1, 2), (5, 6)) AS u(a, b));  -- integer => 3
SELECT x FROM (VALUES (1, 2), (1, NULL), (3, 4)) AS t(x, y) WHERE (x, y) IN (SELECT a, b FROM (VALUES (1, 2), (1, NULL)) AS u(a, b));  -- integer => 1
SELECT (1, 2) = ANY (SELECT 1, 2);  -- ! NOT_SUPPORTED
