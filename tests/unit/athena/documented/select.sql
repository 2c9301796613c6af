-- SELECT and its clauses
-- https://trino.io/docs/current/sql/select.html, …/values.html

VALUES 1, 2, 3;
-- _col0
-- 1
-- 2
-- 3

VALUES (1, 'a'), (2, 'b'), (3, 'c');
-- _col0 | _col1
-- 1     | a
-- 2     | b
-- 3     | c

SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t (id, name);
-- id | name
-- 1  | a
-- 2  | b

WITH x AS (SELECT a, MAX(b) AS b FROM (VALUES (1, 2), (1, 3), (2, 4)) AS t(a, b) GROUP BY a) SELECT a, b FROM x;
-- a | b
-- 1 | 3
-- 2 | 4

WITH t1 AS (SELECT a, MAX(b) AS b FROM (VALUES (1, 2)) AS x(a, b) GROUP BY a), t2 AS (SELECT a, AVG(d) AS d FROM (VALUES (1, 2), (1, 4)) AS y(a, d) GROUP BY a) SELECT t1.*, t2.* FROM t1 JOIN t2 ON t1.a = t2.a;
-- a | b | a | d
-- 1 | 2 | 1 | 3.0

WITH x AS (SELECT 7 AS a), y AS (SELECT a AS b FROM x), z AS (SELECT b AS c FROM y) SELECT c FROM z;
-- c
-- 7

WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 4) SELECT sum(n) FROM t;  -- bigint => 10
WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 100) SELECT sum(n) FROM t;  -- ! NOT_SUPPORTED: Recursion depth limit exceeded (10). Use 'max_recursion_depth' session property to modify the limit

SELECT (CAST(ROW(1, true) AS ROW(field1 bigint, field2 boolean))).* AS (alias1, alias2);
-- alias1 | alias2
-- 1      | true

SELECT (CAST(ROW(1, true) AS ROW(field1 bigint, field2 boolean))).*;
-- field1 | field2
-- 1      | true

SELECT (ROW(1, true)).*;
-- _col0 | _col1
-- 1     | true

SELECT count(*), nationkey FROM (VALUES 1, 1, 2) AS customer(nationkey) GROUP BY 2;
-- _col0 | nationkey
-- 2     | 1
-- 1     | 2

WITH shipping(origin_state, origin_zip, destination_state, destination_zip, package_weight) AS (VALUES ('California', 94131, 'New Jersey', 8648, 13), ('California', 94131, 'New Jersey', 8540, 42), ('New Jersey', 7081, 'Connecticut', 6708, 225), ('California', 90210, 'Connecticut', 6927, 1337), ('California', 94131, 'Colorado', 80302, 5), ('New York', 10002, 'New Jersey', 8540, 3)) SELECT origin_state, origin_zip, destination_state, sum(package_weight) FROM shipping GROUP BY GROUPING SETS ((origin_state), (origin_state, origin_zip), (destination_state));
-- origin_state | origin_zip | destination_state | _col3
-- New Jersey   | NULL       | NULL              | 225
-- California   | NULL       | NULL              | 1397
-- New York     | NULL       | NULL              | 3
-- California   | 90210      | NULL              | 1337
-- California   | 94131      | NULL              | 60
-- New Jersey   | 7081       | NULL              | 225
-- New York     | 10002      | NULL              | 3
-- NULL         | NULL       | Colorado          | 5
-- NULL         | NULL       | New Jersey        | 58
-- NULL         | NULL       | Connecticut       | 1562

WITH shipping(origin_state, destination_state, package_weight) AS (VALUES ('California', 'New Jersey', 13), ('California', 'New Jersey', 42), ('New Jersey', 'Connecticut', 225), ('California', 'Connecticut', 1337), ('California', 'Colorado', 5), ('New York', 'New Jersey', 3)) SELECT origin_state, destination_state, sum(package_weight) FROM shipping GROUP BY CUBE (origin_state, destination_state);
-- origin_state | destination_state | _col2
-- California   | New Jersey        | 55
-- California   | Colorado          | 5
-- New York     | New Jersey        | 3
-- New Jersey   | Connecticut       | 225
-- California   | Connecticut       | 1337
-- California   | NULL              | 1397
-- New York     | NULL              | 3
-- New Jersey   | NULL              | 225
-- NULL         | New Jersey        | 58
-- NULL         | Connecticut       | 1562
-- NULL         | Colorado          | 5
-- NULL         | NULL              | 1625

WITH shipping(origin_state, origin_zip, package_weight) AS (VALUES ('California', 94131, 13), ('California', 94131, 42), ('New Jersey', 7081, 225), ('California', 90210, 1337), ('California', 94131, 5), ('New York', 10002, 3)) SELECT origin_state, origin_zip, sum(package_weight) FROM shipping GROUP BY ROLLUP (origin_state, origin_zip);
-- origin_state | origin_zip | _col2
-- California   | 94131      | 60
-- California   | 90210      | 1337
-- New Jersey   | 7081       | 225
-- New York     | 10002      | 3
-- California   | NULL       | 1397
-- New York     | NULL       | 3
-- New Jersey   | NULL       | 225
-- NULL         | NULL       | 1625

WITH shipping(origin_state, origin_zip, destination_state, package_weight) AS (VALUES ('California', 94131, 'New Jersey', 55), ('New Jersey', 7081, 'Connecticut', 225), ('California', 90210, 'Connecticut', 1337)) SELECT origin_state, destination_state, origin_zip, sum(package_weight) FROM shipping GROUP BY GROUPING SETS ((origin_state, destination_state)), ROLLUP (origin_zip);
-- origin_state | destination_state | origin_zip | _col3
-- California   | New Jersey        | 94131      | 55
-- New Jersey   | Connecticut       | 7081       | 225
-- California   | Connecticut       | 90210      | 1337
-- California   | New Jersey        | NULL       | 55
-- New Jersey   | Connecticut       | NULL       | 225
-- California   | Connecticut       | NULL       | 1337

WITH shipping(origin_state, origin_zip, destination_state, package_weight) AS (VALUES ('California', 94131, 'New Jersey', 55), ('California', 90210, 'Connecticut', 1337)) SELECT origin_state, origin_zip, destination_state, sum(package_weight), grouping(origin_state, origin_zip, destination_state) FROM shipping GROUP BY GROUPING SETS ((origin_state), (origin_state, origin_zip), (destination_state));
-- origin_state | origin_zip | destination_state | _col3 | _col4
-- California   | NULL       | NULL              | 1392  | 3
-- California   | 94131      | NULL              | 55    | 1
-- California   | 90210      | NULL              | 1337  | 1
-- NULL         | NULL       | New Jersey        | 55    | 6
-- NULL         | NULL       | Connecticut       | 1337  | 6

SELECT y, count(*) AS n FROM (VALUES (1, 'a'), (2, 'a'), (3, 'b')) AS t(x, y) GROUP BY y HAVING count(*) > 1;
-- y | n
-- a | 2

SELECT 13 UNION SELECT 42;
-- _col0
-- 13
-- 42

SELECT 13 UNION SELECT * FROM (VALUES 42, 13);
-- _col0
-- 13
-- 42

SELECT 13 UNION ALL SELECT * FROM (VALUES 42, 13);
-- _col0
-- 13
-- 42
-- 13

SELECT * FROM (VALUES 13, 42) INTERSECT SELECT 13;
-- _col0
-- 13

SELECT * FROM (VALUES 13, 42) EXCEPT SELECT 13;
-- _col0
-- 42

SELECT * FROM (VALUES 1, 1, 2) INTERSECT ALL SELECT * FROM (VALUES 1, 1, 1);
-- _col0
-- 1
-- 1

SELECT 1 UNION SELECT 2 INTERSECT SELECT 2 EXCEPT SELECT 1;
-- _col0
-- 2

SELECT 1 UNION ALL SELECT 2.5;
-- _col0
-- 1.0
-- 2.5

SELECT * FROM (VALUES (1, 'alice')) AS t(id, name) UNION ALL CORRESPONDING SELECT * FROM (VALUES ('bob', 2)) AS t(name, id);  -- ! NOT_SUPPORTED
SELECT x FROM (VALUES 2, NULL, 1) AS t(x) ORDER BY x;
-- x
-- 1
-- 2
-- NULL

SELECT x FROM (VALUES 2, NULL, 1) AS t(x) ORDER BY x DESC;
-- x
-- 2
-- 1
-- NULL

SELECT x FROM (VALUES 2, NULL, 1) AS t(x) ORDER BY x DESC NULLS FIRST;
-- x
-- NULL
-- 2
-- 1

SELECT * FROM (VALUES 5, 2, 4, 1, 3) t(x) ORDER BY x OFFSET 2 LIMIT 2;
-- x
-- 3
-- 4

SELECT x FROM (VALUES 1, 2, 3) AS t(x) ORDER BY x OFFSET 1 ROWS FETCH NEXT 1 ROW ONLY;
-- x
-- 2

SELECT x FROM (VALUES 1, 2) AS t(x) ORDER BY x FETCH FIRST ROW ONLY;
-- x
-- 1

SELECT x FROM (VALUES 1, 2) AS t(x) ORDER BY x LIMIT ALL;
-- x
-- 1
-- 2

SELECT name, regionkey FROM (VALUES ('ETHIOPIA', 0), ('MOROCCO', 0), ('FRANCE', 1)) AS nation(name, regionkey) ORDER BY regionkey FETCH FIRST ROW WITH TIES;  -- ! NOT_SUPPORTED
SELECT count(*) BETWEEN 0 AND 3 FROM (VALUES 1, 2, 3) AS users(x) TABLESAMPLE BERNOULLI (50);  -- boolean => true
SELECT * FROM UNNEST(ARRAY[1,2]) AS t(number);
-- number
-- 1
-- 2

SELECT * FROM UNNEST(map_from_entries(ARRAY[('SQL',1974), ('Java', 1995)])) AS t(language, first_appeared_year);
-- language | first_appeared_year
-- SQL      | 1974
-- Java     | 1995

SELECT * FROM UNNEST(ARRAY[ROW('Java', 1995), ROW('SQL' , 1974)], ARRAY[ROW(false), ROW(true)]) as t(language,first_appeared_year,declarative);
-- language | first_appeared_year | declarative
-- Java     | 1995                | false
-- SQL      | 1974                | true

SELECT a, b, rownumber FROM UNNEST (ARRAY[2, 5], ARRAY[7, 8, 9]) WITH ORDINALITY AS t(a, b, rownumber);
-- a    | b | rownumber
-- 2    | 7 | 1
-- 5    | 8 | 2
-- NULL | 9 | 3

SELECT * FROM UNNEST (ARRAY[]) AS t(value);
-- value

SELECT * FROM UNNEST (CAST(null AS ARRAY(integer))) AS t(number);
-- number

SELECT student, score FROM (VALUES ('John', ARRAY[7, 10, 9]), ('Mary', ARRAY[4, 8, 9])) AS tests (student, scores) CROSS JOIN UNNEST(scores) AS t(score);
-- student | score
-- John    | 7
-- John    | 10
-- John    | 9
-- Mary    | 4
-- Mary    | 8
-- Mary    | 9

SELECT numbers, animals, n, a FROM (VALUES (ARRAY[2, 5], ARRAY['dog', 'cat', 'bird']), (ARRAY[7, 8, 9], ARRAY['cow', 'pig'])) AS x (numbers, animals) CROSS JOIN UNNEST(numbers, animals) AS t (n, a);
-- numbers   | animals          | n    | a
-- [2, 5]    | [dog, cat, bird] | 2    | dog
-- [2, 5]    | [dog, cat, bird] | 5    | cat
-- [2, 5]    | [dog, cat, bird] | NULL | bird
-- [7, 8, 9] | [cow, pig]       | 7    | cow
-- [7, 8, 9] | [cow, pig]       | 8    | pig
-- [7, 8, 9] | [cow, pig]       | 9    | NULL

SELECT runner, checkpoint FROM (VALUES ('Joe', ARRAY[10, 20, 30, 42]), ('Roger', ARRAY[10]), ('Dave', ARRAY[]), ('Levi', NULL)) AS marathon (runner, checkpoints) LEFT JOIN UNNEST(checkpoints) AS t(checkpoint) ON TRUE;
-- runner | checkpoint
-- Joe    | 10
-- Joe    | 20
-- Joe    | 30
-- Joe    | 42
-- Roger  | 10
-- Dave   | NULL
-- Levi   | NULL

SELECT n.name AS nation, r.name AS region FROM (VALUES 'ALGERIA', 'BRAZIL') AS n(name) CROSS JOIN (VALUES 'AFRICA') AS r(name) ORDER BY 1, 2;
-- nation  | region
-- ALGERIA | AFRICA
-- BRAZIL  | AFRICA

SELECT n.x, r.y FROM (VALUES 1, 2) AS n(x), (VALUES 'a') AS r(y) WHERE n.x > 1;
-- x | y
-- 2 | a

SELECT name, x, y FROM (VALUES 'a') AS nation(name) CROSS JOIN LATERAL (SELECT name || ' :-' AS x) CROSS JOIN LATERAL (SELECT x || ')' AS y);
-- name | x    | y
-- a    | a :- | a :-)

SELECT a.x, b.y FROM (VALUES 1, 2) AS a(x) FULL JOIN (VALUES 2, 3) AS b(y) ON a.x = b.y;
-- x    | y
-- 1    | NULL
-- 2    | 2
-- NULL | 3

SELECT * FROM (VALUES (1, 'a')) AS a(k, v) JOIN (VALUES (1, 'b')) AS b(k, w) USING (k);
-- k | v | w
-- 1 | a | b

SELECT name FROM (VALUES 'a') AS nation(name) CROSS JOIN (VALUES 'b') AS region(name);  -- ! AMBIGUOUS_NAME: line 1:8: Column 'name' is ambiguous
SELECT name FROM (VALUES ('x', 1), ('y', 2)) AS nation(name, regionkey) WHERE EXISTS (SELECT * FROM (VALUES 1) AS region(regionkey) WHERE region.regionkey = nation.regionkey);
-- name
-- x

SELECT name FROM (VALUES ('x', 1), ('y', 2)) AS nation(name, regionkey) WHERE regionkey = (SELECT max(regionkey) FROM (VALUES 1, 2) AS region(regionkey));
-- name
-- y

SELECT (SELECT x FROM (VALUES 1, 2) AS t(x));  -- ! SUBQUERY_MULTIPLE_ROWS: Scalar sub-query has returned multiple rows
SELECT DISTINCT x FROM (VALUES 1, 1, 2) AS t(x);
-- x
-- 1
-- 2

SELECT "X" FROM (SELECT 1 AS x);
-- X
-- 1

SELECT x FROM (VALUES 1, 2, 3) AS t(x) TABLESAMPLE SYSTEM (10) WHERE x > 5;
-- x

SELECT x FROM (SELECT 1 AS x) MATCH_RECOGNIZE (PATTERN (a) DEFINE a AS true);  -- ! NOT_SUPPORTED

SELECT y, count(*) FROM (VALUES (1, 'a')) AS t(x, y) GROUP BY DISTINCT CUBE (y), ROLLUP (y);  -- ! NOT_SUPPORTED: line 1:63: The local Athena does not support GROUP BY DISTINCT
SELECT * FROM (VALUES 1) AS t(x) NATURAL JOIN (VALUES 1) AS u(x);  -- ! NOT_SUPPORTED
SELECT 1 AS x LIMIT 1 + 1;  -- ! SYNTAX_ERROR
SELECT 1_000;  -- ! SYNTAX_ERROR: line 1:9: identifiers must not start with a digit
SELECT [1, 2];  -- ! SYNTAX_ERROR: line 1:8: mismatched input '['
SELECT 0x1F;  -- ! NOT_SUPPORTED: line 1:8: The local Athena does not support the integer 0x1F
SELECT 1::varchar;  -- ! SYNTAX_ERROR
SELECT 1 <=> 1;  -- ! SYNTAX_ERROR
SELECT x AS y, y + 1 FROM (VALUES 1) AS t(x);  -- ! COLUMN_NOT_FOUND: line 1:16: Column 'y' cannot be resolved

-- A row in VALUES is a line of columns
-- https://trino.io/docs/current/sql/values.html
SELECT b FROM (VALUES ROW(1, 2)) AS t(a, b);  -- integer => 2
SELECT sum(y) FROM (VALUES CAST(ROW(1, 2) AS ROW(x integer, y integer)), ROW(3, 4)) AS t(x, y);  -- bigint => 6
