-- Array, map and row functions, and lambda expressions
-- https://trino.io/docs/current/functions/array.html, …/map.html, …/lambda.html

SELECT ARRAY[1, 2, NULL];  -- array(integer) => [1, 2, null]
SELECT ARRAY[1, 2][2];  -- integer => 2
SELECT element_at(ARRAY[1, 2], 5);  -- integer => NULL
SELECT element_at(ARRAY[1, 2], -1);  -- integer => 2
SELECT cardinality(ARRAY[1, 2]);  -- bigint => 2
SELECT contains(ARRAY['a', 'b'], 'b');  -- boolean => true
SELECT array_distinct(ARRAY[3, 1, 3]);  -- array(integer) => [3, 1]
SELECT array_sort(ARRAY[3, NULL, 1]);  -- array(integer) => [1, 3, null]
SELECT array_join(ARRAY[1, 2], '-');  -- => 1-2
SELECT array_max(ARRAY[1, 5, 2]);  -- integer => 5
SELECT ARRAY[1] || ARRAY[2] || 3;  -- array(integer) => [1, 2, 3]
SELECT sequence(1, 3);  -- array(bigint) => [1, 2, 3]
SELECT sequence(3, 1);  -- array(bigint) => [3, 2, 1]
SELECT sequence(DATE '2020-01-30', DATE '2020-02-01', INTERVAL '1' DAY);  -- array(date) => [2020-01-30, 2020-01-31, 2020-02-01]
SELECT slice(ARRAY[1, 2, 3, 4], 2, 2);  -- array(integer) => [2, 3]
SELECT repeat('x', 2);  -- array(varchar(1)) => [x, x]
SELECT transform(ARRAY[1, 2], x -> x * 2);  -- array(integer) => [2, 4]
SELECT filter(ARRAY[1, 2, 3], x -> x > 1);  -- array(integer) => [2, 3]
SELECT any_match(ARRAY[1, 2], x -> x > 1);  -- boolean => true
SELECT all_match(ARRAY[1, 2], x -> x > 1);  -- boolean => false
SELECT reduce(ARRAY[1, 2, 3], 0, (s, x) -> s + x, s -> s);  -- integer => 6
SELECT MAP(ARRAY['a', 'b'], ARRAY[1, 2]);  -- map(varchar(1), integer) => {a=1, b=2}
SELECT MAP(ARRAY['a'], ARRAY[1])['a'];  -- integer => 1
SELECT element_at(MAP(ARRAY['a'], ARRAY[1]), 'z');  -- integer => NULL
SELECT map_keys(MAP(ARRAY['a'], ARRAY[1]));  -- array(varchar(1)) => [a]
SELECT CAST(ROW(1, 'x') AS ROW(a bigint, b varchar)).a;  -- bigint => 1
SELECT CAST(ROW(1, 'x') AS ROW(a bigint, b varchar));  -- row(a bigint, b varchar) => {a=1, b=x}
SELECT ROW(1, 2.5);  -- row(integer, decimal(2,1)) => {field0=1, field1=2.5}
SELECT (1, 'a') = (1, 'a');  -- boolean => true

SELECT ARRAY[1, 1.2, 4];  -- array(decimal(11,1)) => [1.0, 1.2, 4.0]
SELECT ARRAY[1, 2, NULL, -4, NULL];  -- array(integer) => [1, 2, null, -4, null]
SELECT ARRAY[1, 1.2, 4][2];  -- decimal(11,1) => 1.2
SELECT ARRAY[1, 2][3];  -- ! INVALID_FUNCTION_ARGUMENT: Array subscript must be less than or equal to array length: 3 > 2
SELECT ARRAY[1] || ARRAY[2];  -- array(integer) => [1, 2]
SELECT ARRAY[1] || 2;  -- array(integer) => [1, 2]
SELECT 2 || ARRAY[1];  -- array(integer) => [2, 1]
SELECT all_match(ARRAY[1, NULL], x -> x > 0);  -- boolean => NULL
SELECT all_match(ARRAY[], x -> x > 0);  -- boolean => true
SELECT all_match(ARRAY[-1, NULL], x -> x > 0);  -- boolean => false
SELECT any_match(ARRAY[-1, NULL], x -> x > 0);  -- boolean => NULL
SELECT any_match(ARRAY[1, NULL], x -> x > 0);  -- boolean => true
SELECT none_match(ARRAY[-1, NULL], x -> x > 0);  -- boolean => NULL
SELECT none_match(ARRAY[-1, -2], x -> x > 0);  -- boolean => true
SELECT array_distinct(ARRAY[1, NULL, 1, NULL]);  -- array(integer) => [1, null]
SELECT array_sort(array_intersect(ARRAY[1, 2, 2, NULL], ARRAY[2, NULL, 3]));  -- array(integer) => [2, null]
SELECT array_sort(array_union(ARRAY[1, 2, NULL], ARRAY[2, 3, NULL]));  -- array(integer) => [1, 2, 3, null]
SELECT array_sort(array_except(ARRAY[1, 2, 2, NULL], ARRAY[3, NULL]));  -- array(integer) => [1, 2]
SELECT array_join(ARRAY[1, NULL, 2], ',');  -- => 1,2
SELECT array_join(ARRAY[1, NULL, 2], ',', '?');  -- => 1,?,2
SELECT array_join(ARRAY[1.5e0], ',');  -- => 1.5E0
SELECT array_max(ARRAY[1, NULL]);  -- integer => NULL
SELECT array_min(ARRAY[2, 1]);  -- integer => 1
SELECT array_max(ARRAY[]);  -- unknown => NULL
SELECT array_position(ARRAY['a', 'b'], 'b');  -- bigint => 2
SELECT array_position(ARRAY['a', 'b'], 'x');  -- bigint => 0
SELECT array_remove(ARRAY[1, NULL, 2, 1], 1);  -- array(integer) => [null, 2]
SELECT array_sort(ARRAY[3, 2, 5, 1, 2], (x, y) -> IF(x < y, 1, IF(x = y, 0, -1)));  -- array(integer) => [5, 3, 2, 2, 1]
SELECT array_sort(ARRAY['bc', 'ab', 'dc'], (x, y) -> IF(x < y, 1, IF(x = y, 0, -1)));  -- array(varchar(2)) => [dc, bc, ab]
SELECT array_sort(ARRAY[3, 2, null, 5, null, 1, 2], (x, y) -> CASE WHEN x IS NULL THEN -1 WHEN y IS NULL THEN 1 WHEN x < y THEN 1 WHEN x = y THEN 0 ELSE -1 END);  -- array(integer) => [null, null, 5, 3, 2, 2, 1]
SELECT array_sort(ARRAY[3, 2, null, 5, null, 1, 2], (x, y) -> CASE WHEN x IS NULL THEN 1 WHEN y IS NULL THEN -1 WHEN x < y THEN 1 WHEN x = y THEN 0 ELSE -1 END);  -- array(integer) => [5, 3, 2, 2, 1, null, null]
SELECT array_sort(ARRAY['a', 'abcd', 'abc'], (x, y) -> IF(length(x) < length(y), -1, IF(length(x) = length(y), 0, 1)));  -- array(varchar(4)) => [a, abc, abcd]
SELECT array_sort(ARRAY[ARRAY[2, 3, 1], ARRAY[4, 2, 1, 4], ARRAY[1, 2]], (x, y) -> IF(cardinality(x) < cardinality(y), -1, IF(cardinality(x) = cardinality(y), 0, 1)));  -- array(array(integer)) => [[1, 2], [2, 3, 1], [4, 2, 1, 4]]
SELECT arrays_overlap(ARRAY[1, 2], ARRAY[2, 3]);  -- boolean => true
SELECT arrays_overlap(ARRAY[1, NULL], ARRAY[2]);  -- boolean => NULL
SELECT arrays_overlap(ARRAY[1], ARRAY[2]);  -- boolean => false
SELECT arrays_overlap(ARRAY[NULL], ARRAY[]);  -- boolean => false
SELECT array_union(ARRAY[1], CAST(NULL AS array(integer)));  -- array(integer) => NULL
SELECT array_join(ARRAY[NULL], ',');  -- =>
SELECT concat(ARRAY[1], ARRAY[2], ARRAY[3]);  -- array(integer) => [1, 2, 3]
SELECT combinations(ARRAY['foo', 'bar', 'baz'], 2);  -- array(array(varchar(3))) => [[foo, bar], [foo, baz], [bar, baz]]
SELECT combinations(ARRAY[1, 2, 3], 2);  -- array(array(integer)) => [[1, 2], [1, 3], [2, 3]]
SELECT combinations(ARRAY[1, 2, 2], 2);  -- array(array(integer)) => [[1, 2], [1, 2], [2, 2]]
SELECT contains(ARRAY[1, NULL], 2);  -- boolean => NULL
SELECT contains(ARRAY[1, NULL], 1);  -- boolean => true
SELECT contains(ARRAY[1, 3], 2);  -- boolean => false
SELECT contains_sequence(ARRAY[1, 2, 3, 4], ARRAY[2, 3]);  -- boolean => true
SELECT contains_sequence(ARRAY[1, 2, 3, 4], ARRAY[2, 4]);  -- boolean => false
SELECT element_at(ARRAY[1, 2], 0);  -- ! INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1
SELECT filter(ARRAY[], x -> true);  -- array(unknown) => []
SELECT filter(ARRAY[5, -6, NULL, 7], x -> x > 0);  -- array(integer) => [5, 7]
SELECT filter(ARRAY[5, NULL, 7, NULL], x -> x IS NOT NULL);  -- array(integer) => [5, 7]
SELECT flatten(ARRAY[ARRAY[1, 2], NULL, ARRAY[3]]);  -- array(integer) => [1, 2, 3]
SELECT ngrams(ARRAY['foo', 'bar', 'baz', 'foo'], 2);  -- array(array(varchar(3))) => [[foo, bar], [bar, baz], [baz, foo]]
SELECT ngrams(ARRAY['foo', 'bar', 'baz', 'foo'], 3);  -- array(array(varchar(3))) => [[foo, bar, baz], [bar, baz, foo]]
SELECT ngrams(ARRAY['foo', 'bar', 'baz', 'foo'], 4);  -- array(array(varchar(3))) => [[foo, bar, baz, foo]]
SELECT ngrams(ARRAY['foo', 'bar', 'baz', 'foo'], 5);  -- array(array(varchar(3))) => [[foo, bar, baz, foo]]
SELECT ngrams(ARRAY[1, 2, 3, 4], 2);  -- array(array(integer)) => [[1, 2], [2, 3], [3, 4]]
SELECT reduce(ARRAY[], 0, (s, x) -> s + x, s -> s);  -- integer => 0
SELECT reduce(ARRAY[5, 20, 50], 0, (s, x) -> s + x, s -> s);  -- integer => 75
SELECT reduce(ARRAY[5, 20, NULL, 50], 0, (s, x) -> s + x, s -> s);  -- integer => NULL
SELECT reduce(ARRAY[5, 20, NULL, 50], 0, (s, x) -> s + coalesce(x, 0), s -> s);  -- integer => 75
SELECT reduce(ARRAY[5, 20, NULL, 50], 0, (s, x) -> IF(x IS NULL, s, s + x), s -> s);  -- integer => 75
SELECT reduce(ARRAY[2147483647, 1], BIGINT '0', (s, x) -> s + x, s -> s);  -- bigint => 2147483648
SELECT reduce(ARRAY[5, 6, 10, 20], CAST(ROW(0.0, 0) AS ROW(sum DOUBLE, count INTEGER)), (s, x) -> CAST(ROW(x + s.sum, s.count + 1) AS ROW(sum DOUBLE, count INTEGER)), s -> IF(s.count = 0, NULL, s.sum / s.count));  -- double => 10.25
SELECT repeat(1, 0);  -- array(integer) => []
SELECT reverse(ARRAY[1, 2, NULL]);  -- array(integer) => [null, 2, 1]
SELECT sequence(1, 7, 3);  -- array(bigint) => [1, 4, 7]
SELECT sequence(5, 1, -2);  -- array(bigint) => [5, 3, 1]
SELECT sequence(1, 5, -1);  -- ! INVALID_FUNCTION_ARGUMENT: sequence stop value should be greater than or equal to start value if step is greater than zero otherwise stop should be less than or equal to start
SELECT sequence(1, 10001);  -- ! INVALID_FUNCTION_ARGUMENT: result of sequence function must not have more than 10000 entries
SELECT sequence(DATE '2020-01-03', DATE '2020-01-01');  -- array(date) => [2020-01-03, 2020-01-02, 2020-01-01]
SELECT sequence(DATE '2020-01-31', DATE '2020-03-31', INTERVAL '1' MONTH);  -- array(date) => [2020-01-31, 2020-02-29, 2020-03-31]
SELECT sequence(TIMESTAMP '2020-01-01 00:00:00', TIMESTAMP '2020-01-01 02:00:00', INTERVAL '1' HOUR);  -- => [2020-01-01 00:00:00.000, 2020-01-01 01:00:00.000, 2020-01-01 02:00:00.000]
SELECT array_sort(shuffle(ARRAY[3, 1, 2]));  -- array(integer) => [1, 2, 3]
SELECT slice(ARRAY[1, 2, 3, 4], -3, 2);  -- array(integer) => [2, 3]
SELECT slice(ARRAY[1, 2, 3], 3, 5);  -- array(integer) => [3]
SELECT slice(ARRAY[1, 2, 3], 5, 1);  -- array(integer) => []
SELECT slice(ARRAY[1, 2, 3], 0, 1);  -- ! INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1
SELECT trim_array(ARRAY[1, 2, 3, 4], 1);  -- array(integer) => [1, 2, 3]
SELECT trim_array(ARRAY[1, 2, 3, 4], 2);  -- array(integer) => [1, 2]
SELECT transform(ARRAY[], x -> x + 1);  -- array(integer) => []
SELECT transform(ARRAY[5, 6], x -> x + 1);  -- array(integer) => [6, 7]
SELECT transform(ARRAY[5, NULL, 6], x -> coalesce(x, 0) + 1);  -- array(integer) => [6, 1, 7]
SELECT transform(ARRAY['x', 'abc', 'z'], x -> x || '0');  -- array(varchar) => [x0, abc0, z0]
SELECT transform(ARRAY[ARRAY[1, NULL, 2], ARRAY[3, NULL]], a -> filter(a, x -> x IS NOT NULL));  -- array(array(integer)) => [[1, 2], [3]]
SELECT zip(ARRAY[1, 2], ARRAY['1b', null, '3b']);  -- => [{field0=1, field1=1b}, {field0=2, field1=null}, {field0=null, field1=3b}]
SELECT zip_with(ARRAY[1, 3, 5], ARRAY['a', 'b', 'c'], (x, y) -> (y, x));  -- => [{field0=a, field1=1}, {field0=b, field1=3}, {field0=c, field1=5}]
SELECT zip_with(ARRAY[1, 2], ARRAY[3, 4], (x, y) -> x + y);  -- array(integer) => [4, 6]
SELECT zip_with(ARRAY['a', 'b', 'c'], ARRAY['d', 'e', 'f'], (x, y) -> concat(x, y));  -- array(varchar) => [ad, be, cf]
SELECT zip_with(ARRAY['a'], ARRAY['d', null, 'f'], (x, y) -> coalesce(x, y));  -- array(varchar(1)) => [a, null, f]

SELECT MAP(ARRAY['key1', 'key2', 'key3'], ARRAY[23, 34.63, 45.837]);  -- => {key1=23.000, key2=34.630, key3=45.837}
SELECT MAP(ARRAY['key1', 'key2', 'key3'], ARRAY['v1', NULL, 'v3']);  -- => {key1=v1, key2=null, key3=v3}
SELECT MAP(ARRAY['key1', 'key2', 'key3'], ARRAY['v1', 'v2', 'v3'])['key2'];  -- => v2
SELECT MAP(ARRAY['a'], ARRAY[1])['b'];  -- ! INVALID_FUNCTION_ARGUMENT: Key not present in map
SELECT map();  -- map(unknown, unknown) => {}
SELECT map(ARRAY[1, 3], ARRAY[2, 4]);  -- map(integer, integer) => {1=2, 3=4}
SELECT map(ARRAY[1, 1], ARRAY[2, 4]);  -- ! INVALID_FUNCTION_ARGUMENT: Duplicate map keys
SELECT cardinality(map(ARRAY[1, 3], ARRAY[2, 4]));  -- bigint => 2
SELECT map_from_entries(ARRAY[(1, 'x'), (2, 'y')]);  -- map(integer, varchar(1)) => {1=x, 2=y}
SELECT multimap_from_entries(ARRAY[(1, 'x'), (2, 'y'), (1, 'z')]);  -- map(integer, array(varchar(1))) => {1=[x, z], 2=[y]}
SELECT map_entries(MAP(ARRAY[1, 2], ARRAY['x', 'y']));  -- => [{field0=1, field1=x}, {field0=2, field1=y}]
SELECT map_concat(MAP(ARRAY['a', 'b'], ARRAY[1, 2]), MAP(ARRAY['b'], ARRAY[9]));  -- map(varchar(1), integer) => {a=1, b=9}
SELECT map_filter(MAP(ARRAY[], ARRAY[]), (k, v) -> true);  -- map(unknown, unknown) => {}
SELECT map_filter(MAP(ARRAY[10, 20, 30], ARRAY['a', NULL, 'c']), (k, v) -> v IS NOT NULL);  -- => {10=a, 30=c}
SELECT map_filter(MAP(ARRAY['k1', 'k2', 'k3'], ARRAY[20, 3, 15]), (k, v) -> v > 10);  -- => {k1=20, k3=15}
SELECT map_values(MAP(ARRAY['a', 'b'], ARRAY[1, NULL]));  -- array(integer) => [1, null]
SELECT map_zip_with(MAP(ARRAY[1, 2, 3], ARRAY['a', 'b', 'c']), MAP(ARRAY[1, 2, 3], ARRAY['d', 'e', 'f']), (k, v1, v2) -> concat(v1, v2));  -- map(integer, varchar) => {1=ad, 2=be, 3=cf}
SELECT map_zip_with(MAP(ARRAY['k1', 'k2'], ARRAY[1, 2]), MAP(ARRAY['k2', 'k3'], ARRAY[4, 9]), (k, v1, v2) -> (v1, v2));  -- => {k1={field0=1, field1=null}, k2={field0=2, field1=4}, k3={field0=null, field1=9}}
SELECT map_zip_with(MAP(ARRAY['a', 'b', 'c'], ARRAY[1, 8, 27]), MAP(ARRAY['a', 'b', 'c'], ARRAY[1, 2, 3]), (k, v1, v2) -> k || CAST(v1 / v2 AS VARCHAR));  -- map(varchar(1), varchar) => {a=a1, b=b4, c=c9}
SELECT transform_keys(MAP(ARRAY[1, 2, 3], ARRAY['a', 'b', 'c']), (k, v) -> k + 1);  -- map(integer, varchar(1)) => {2=a, 3=b, 4=c}
SELECT transform_keys(MAP(ARRAY['a', 'b', 'c'], ARRAY[1, 2, 3]), (k, v) -> v * v);  -- map(integer, integer) => {1=1, 4=2, 9=3}
SELECT transform_keys(MAP(ARRAY['a', 'b'], ARRAY[1, 2]), (k, v) -> k || CAST(v as VARCHAR));  -- map(varchar, integer) => {a1=1, b2=2}
SELECT transform_keys(MAP(ARRAY[1, 2], ARRAY[1.0, 1.4]), (k, v) -> MAP(ARRAY[1, 2], ARRAY['one', 'two'])[k]);  -- => {one=1.0, two=1.4}
SELECT transform_values(MAP(ARRAY[1, 2, 3], ARRAY[10, 20, 30]), (k, v) -> v + k);  -- map(integer, integer) => {1=11, 2=22, 3=33}
SELECT transform_values(MAP(ARRAY[1, 2, 3], ARRAY['a', 'b', 'c']), (k, v) -> k * k);  -- map(integer, integer) => {1=1, 2=4, 3=9}
SELECT transform_values(MAP(ARRAY['a', 'b'], ARRAY[1, 2]), (k, v) -> k || CAST(v as VARCHAR));  -- map(varchar(1), varchar) => {a=a1, b=b2}
SELECT transform_values(MAP(ARRAY[1, 2], ARRAY[1.0, 1.4]), (k, v) -> MAP(ARRAY[1, 2], ARRAY['one', 'two'])[k] || '_' || CAST(v AS VARCHAR));  -- map(integer, varchar) => {1=one_1.0, 2=two_1.4}

SELECT numbers, transform(numbers, n -> n * n) as squared_numbers FROM (VALUES (ARRAY[1, 2]), (ARRAY[3, 4]), (ARRAY[5, 6, 7])) AS t(numbers);
-- numbers   | squared_numbers
-- [1, 2]    | [1, 4]
-- [3, 4]    | [9, 16]
-- [5, 6, 7] | [25, 36, 49]

SELECT transform(prices, n -> TRY_CAST(n AS VARCHAR) || '$') as price_tags FROM (VALUES (ARRAY[100, 200]), (ARRAY[30, 4])) AS t(prices);
-- price_tags
-- [100$, 200$]
-- [30$, 4$]

SELECT xvalues, a, b, transform(xvalues, x -> a * x + b) as linear_function_values FROM (VALUES (ARRAY[1, 2], 10, 5), (ARRAY[3, 4], 4, 2)) AS t(xvalues, a, b);
-- xvalues | a  | b | linear_function_values
-- [1, 2]  | 10 | 5 | [15, 25]
-- [3, 4]  | 4  | 2 | [14, 18]

SELECT numbers FROM (VALUES (ARRAY[1, NULL, 3]), (ARRAY[10, 20, 30]), (ARRAY[100, 200, 300])) AS t(numbers) WHERE any_match(numbers, n -> COALESCE(n, 0) > 100);
-- numbers
-- [100, 200, 300]

SELECT transform(ARRAY[1, 2], x -> x + TRY(1 / 0));  -- array(integer) => [null, null]
SELECT transform(ARRAY[1], x -> CAST(x AS JSON));  -- array(json) => [1]
SELECT transform(ARRAY[1], x -> 2 + (SELECT 3));  -- ! NOT_SUPPORTED
SELECT CAST(ROW(1, 'a') AS ROW(x bigint, y varchar)).y;  -- => a
SELECT ROW(1, 'a')[2];  -- => a
