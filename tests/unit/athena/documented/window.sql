-- Window functions
-- https://trino.io/docs/current/functions/window.html, https://trino.io/docs/current/sql/select.html#window-clause

SELECT x, ntile(4) OVER (ORDER BY x) AS n FROM (VALUES 1, 2, 3, 4, 5, 6) AS t(x) ORDER BY x;
-- x | n
-- 1 | 1
-- 2 | 1
-- 3 | 2
-- 4 | 2
-- 5 | 3
-- 6 | 4

SELECT x, row_number() OVER (ORDER BY x) AS a, rank() OVER (ORDER BY x) AS b, dense_rank() OVER (ORDER BY x) AS c, percent_rank() OVER (ORDER BY x) AS d, cume_dist() OVER (ORDER BY x) AS e FROM (VALUES 1, 2, 2, 3, 4) AS t(x) ORDER BY a;
-- x | a | b | c | d    | e
-- 1 | 1 | 1 | 1 | 0.0  | 0.2
-- 2 | 2 | 2 | 2 | 0.25 | 0.6
-- 2 | 3 | 2 | 2 | 0.25 | 0.6
-- 3 | 4 | 4 | 3 | 0.75 | 0.8
-- 4 | 5 | 5 | 4 | 1.0  | 1.0

SELECT clerk, price, rank() OVER (PARTITION BY clerk ORDER BY price DESC) AS rnk, sum(price) OVER (PARTITION BY clerk ORDER BY price) AS rolling FROM (VALUES ('a', 1), ('a', 2), ('b', 5)) AS o(clerk, price) ORDER BY clerk, rnk;
-- clerk | price | rnk | rolling
-- a     | 2     | 1   | 3
-- a     | 1     | 2   | 1
-- b     | 5     | 1   | 5

SELECT x, first_value(y) IGNORE NULLS OVER w AS a, last_value(y) IGNORE NULLS OVER w AS b, nth_value(y, 2) OVER w AS c FROM (VALUES (1, NULL), (2, 'p'), (3, NULL), (4, 'q')) AS t(x, y) WINDOW w AS (ORDER BY x) ORDER BY x;
-- x | a    | b    | c
-- 1 | NULL | NULL | NULL
-- 2 | p    | p    | p
-- 3 | p    | p    | p
-- 4 | p    | q    | p

SELECT x, lag(x) OVER (ORDER BY x) AS a, lag(x, 2, 0) OVER (ORDER BY x) AS b, lead(x) OVER (ORDER BY x) AS c, lead(x, 1, -1) OVER (ORDER BY x) AS d FROM (VALUES 1, 2, 3) AS t(x) ORDER BY x;
-- x | a    | b | c    | d
-- 1 | NULL | 0 | 2    | 2
-- 2 | 1    | 0 | 3    | 3
-- 3 | 2    | 1 | NULL | -1

SELECT x, lag(y, 1, 'none') IGNORE NULLS OVER (ORDER BY x) AS a, lag(y) RESPECT NULLS OVER (ORDER BY x) AS b FROM (VALUES (1, 'p'), (2, NULL), (3, 'q')) AS t(x, y) ORDER BY x;
-- x | a    | b
-- 1 | none | NULL
-- 2 | p    | p
-- 3 | p    | NULL

SELECT x, sum(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS a, sum(x) OVER (ORDER BY x ROWS 1 PRECEDING) AS b, sum(x) OVER (ORDER BY x RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) AS c, sum(x) OVER (ORDER BY x GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) AS d FROM (VALUES 1, 2, 2, 4) AS t(x) ORDER BY x, a;
-- x | a | b | c | d
-- 1 | 3 | 1 | 1 | 1
-- 2 | 5 | 3 | 5 | 5
-- 2 | 8 | 4 | 5 | 5
-- 4 | 6 | 6 | 4 | 8

SELECT d, count(*) OVER (ORDER BY d RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW) AS n FROM (VALUES DATE '2020-01-01', DATE '2020-01-02', DATE '2020-01-05') AS t(d) ORDER BY d;
-- d          | n
-- 2020-01-01 | 1
-- 2020-01-02 | 2
-- 2020-01-05 | 1

SELECT x, count(*) OVER w2 AS n FROM (VALUES (1, 'a'), (2, 'a'), (3, 'b')) AS t(x, y) WINDOW w AS (PARTITION BY y), w2 AS (w ORDER BY x) ORDER BY x;
-- x | n
-- 1 | 1
-- 2 | 2
-- 3 | 1

SELECT y, sum(x) AS s, sum(sum(x)) OVER (ORDER BY y) AS running, max(x) FILTER (WHERE x < 3) AS low FROM (VALUES (1, 'a'), (2, 'a'), (3, 'b')) AS t(x, y) GROUP BY y ORDER BY y;
-- y | s | running | low
-- a | 3 | 3       | 2
-- b | 3 | 6       | NULL

SELECT x, array_agg(x) OVER (ORDER BY x) AS a, max_by(x, x) OVER (ORDER BY x) AS m FROM (VALUES 1, 2) AS t(x) ORDER BY x;
-- x | a      | m
-- 1 | [1]    | 1
-- 2 | [1, 2] | 2

SELECT x FROM (SELECT x, row_number() OVER (PARTITION BY x % 2 ORDER BY x DESC) AS r FROM (VALUES 1, 2, 3, 4) AS t(x)) WHERE r = 1 ORDER BY x;
-- x
-- 3
-- 4

SELECT upper('a') OVER () FROM (VALUES 1) AS t(x);  -- ! FUNCTION_NOT_WINDOW: line 1:8: Not a window function: upper
SELECT row_number() FROM (VALUES 1) AS t(x);  -- ! SYNTAX_ERROR: line 1:8: Window function row_number requires an OVER clause
SELECT sum(x) OVER v FROM (VALUES 1) AS t(x);  -- ! INVALID_WINDOW_REFERENCE
