-- JSON functions and operators
-- https://trino.io/docs/current/functions/json.html

SELECT CAST(NULL AS JSON);  -- json => NULL
SELECT CAST(1 AS JSON);  -- json => 1
SELECT CAST(9223372036854775807 AS JSON);  -- json => 9223372036854775807
SELECT CAST('abc' AS JSON);  -- json => "abc"
SELECT CAST(true AS JSON);  -- json => true
SELECT CAST(1.234 AS JSON);  -- json => 1.234
SELECT CAST(ARRAY[1, 23, 456] AS JSON);  -- json => [1,23,456]
SELECT CAST(ARRAY[1, NULL, 456] AS JSON);  -- json => [1,null,456]
SELECT CAST(ARRAY[ARRAY[1, 23], ARRAY[456]] AS JSON);  -- json => [[1,23],[456]]
SELECT CAST(MAP(ARRAY['k1', 'k2', 'k3'], ARRAY[1, 23, 456]) AS JSON);  -- json => {"k1":1,"k2":23,"k3":456}
SELECT CAST(CAST(ROW(123, 'abc', true) AS ROW(v1 BIGINT, v2 VARCHAR, v3 BOOLEAN)) AS JSON);  -- json => {"v1":123,"v2":"abc","v3":true}
SELECT CAST(JSON 'null' AS VARCHAR);  -- => NULL
SELECT CAST(JSON '1' AS INTEGER);  -- integer => 1
SELECT CAST(JSON '9223372036854775807' AS BIGINT);  -- bigint => 9223372036854775807
SELECT CAST(JSON '"abc"' AS VARCHAR);  -- => abc
SELECT CAST(JSON 'true' AS BOOLEAN);  -- boolean => true
SELECT CAST(JSON '1.234' AS DOUBLE);  -- double => 1.234
SELECT CAST(JSON '[1,23,456]' AS ARRAY(INTEGER));  -- array(integer) => [1, 23, 456]
SELECT CAST(JSON '[1,null,456]' AS ARRAY(INTEGER));  -- array(integer) => [1, null, 456]
SELECT CAST(JSON '[[1,23],[456]]' AS ARRAY(ARRAY(INTEGER)));  -- array(array(integer)) => [[1, 23], [456]]
SELECT CAST(JSON '{"k1":1,"k2":23,"k3":456}' AS MAP(VARCHAR, INTEGER));  -- map(varchar, integer) => {k1=1, k2=23, k3=456}
SELECT CAST(JSON '{"v1":123,"v2":"abc","v3":true}' AS ROW(v1 BIGINT, v2 VARCHAR, v3 BOOLEAN));  -- => {v1=123, v2=abc, v3=true}
SELECT CAST(JSON '[123,"abc",true]' AS ROW(v1 BIGINT, v2 VARCHAR, v3 BOOLEAN));  -- => {v1=123, v2=abc, v3=true}
SELECT CAST(JSON '[[1, 23], 456]' AS ARRAY(JSON));  -- array(json) => [[1,23], 456]
SELECT CAST(JSON '{"k1": [1, 23], "k2": 456}' AS MAP(VARCHAR, JSON));  -- map(varchar, json) => {k1=[1,23], k2=456}
SELECT CAST(JSON '[null]' AS ARRAY(JSON));  -- array(json) => [null]
SELECT CAST(JSON '{"a": 1}' AS VARCHAR);  -- ! INVALID_CAST_ARGUMENT
SELECT CAST(JSON '"x"' AS INTEGER);  -- ! INVALID_CAST_ARGUMENT
SELECT is_json_scalar('1');  -- boolean => true
SELECT is_json_scalar('[1, 2, 3]');  -- boolean => false
SELECT json_array_contains('[1, 2, 3]', 2);  -- boolean => true
SELECT json_array_contains('["a"]', 'b');  -- boolean => false
SELECT json_array_get('["a", [3, 9], "c"]', 0);  -- json => a
SELECT json_array_get('["a", [3, 9], "c"]', 1);  -- json => [3,9]
SELECT json_array_get('["c", [3, 9], "a"]', -2);  -- json => [3,9]
SELECT json_array_get('[]', 0);  -- json => NULL
SELECT json_array_get('["c", "b", "a"]', -10);  -- json => NULL
SELECT json_array_length('[1, 2, 3]');  -- bigint => 3
SELECT json_array_length('{"a": 1}');  -- bigint => NULL
SELECT json_extract('{"store": {"book": [1]}}', '$.store.book');  -- json => [1]
SELECT json_extract('{"store": {"book": [1]}}', '$.store[book]');  -- json => [1]
SELECT json_extract('{"store": {"book name": [1]}}', '$.store["book name"]');  -- json => [1]
SELECT json_extract('{"a": 1}', '$.b');  -- json => NULL
SELECT json_extract('{"a": "x"}', '$.a');  -- json => "x"
SELECT json_extract('{"a": null}', '$.a');  -- json => null
SELECT json_extract('not json', '$.a');  -- json => NULL
SELECT json_extract('{}', 'a..b');  -- ! INVALID_FUNCTION_ARGUMENT: Invalid JSON path: 'a..b'
SELECT json_extract_scalar('[1, 2, 3]', '$[2]');  -- => 3
SELECT json_extract_scalar('{"store": {"book": [{"author": "Ann"}]}}', '$.store.book[0].author');  -- => Ann
SELECT json_extract_scalar('{"a": true, "b": 1.50}', '$.b');  -- => 1.50
SELECT json_extract_scalar('{"a": {"b": 1}}', '$.a');  -- => NULL
SELECT json_extract_scalar('{"a": null}', '$.a');  -- => NULL
SELECT json_format(JSON '[1, 2, 3]');  -- => [1,2,3]
SELECT json_format(JSON '"a"');  -- => "a"
SELECT json_parse('[1, 2, 3]');  -- json => [1,2,3]
SELECT json_parse('"a"');  -- json => "a"
SELECT json_parse('{"b": 1, "a": 2}');  -- json => {"a":2,"b":1}
SELECT json_parse('{');  -- ! INVALID_FUNCTION_ARGUMENT: Cannot convert value to JSON: '{'
SELECT json_size('{"x": {"a": 1, "b": 2}}', '$.x');  -- bigint => 2
SELECT json_size('{"x": [1, 2, 3]}', '$.x');  -- bigint => 3
SELECT json_size('{"x": 1}', '$.x');  -- bigint => 0
SELECT JSON '{"b": 1, "a": 2}' = JSON '{"a": 2, "b": 1}';  -- boolean => true
SELECT transform(CAST(json_extract('{"items": [{"id": 1}, {"id": 2}]}', '$.items') AS ARRAY(JSON)), x -> json_extract_scalar(x, '$.id'));  -- array(varchar) => [1, 2]

SELECT json_array(true, 12e-1, 'text');  -- => [true,1.2,"text"]
SELECT json_array();  -- => []
SELECT json_array(true, null, 1);  -- => [true,1]
SELECT json_array(true, null, 1 NULL ON NULL);  -- => [true,null,1]
SELECT json_array(DATE '2001-01-31');  -- => ["2001-01-31"]
SELECT json_object('key1' : 1, 'key2' : true);  -- => {"key1":1,"key2":true}
SELECT json_object(KEY 'key1' VALUE 1, KEY 'key2' VALUE true);  -- => {"key1":1,"key2":true}
SELECT json_object('key1' VALUE 1, 'key2' VALUE true);  -- => {"key1":1,"key2":true}
SELECT json_object('x' : true, 'y' : 12e-1, 'z' : 'text');  -- => {"x":true,"y":1.2,"z":"text"}
SELECT json_object();  -- => {}
SELECT json_object('x' : null, 'y' : 1);  -- => {"x":null,"y":1}
SELECT json_object('x' : null, 'y' : 1 ABSENT ON NULL);  -- => {"y":1}
SELECT json_object('x' : json_array(1, 2));  -- => {"x":[1,2]}
SELECT json_exists('{"a": [1]}', 'lax $.a[0]');  -- boolean => true
SELECT json_exists('{"a": [1]}', 'lax $.b');  -- boolean => false
SELECT json_value('{"comment": "nice", "n": 5}', 'lax $.comment');  -- => nice
SELECT json_value('{"n": 5}', 'lax $.n' RETURNING bigint);  -- bigint => 5
SELECT json_value('{"n": 5}', 'lax $.x' DEFAULT 'none' ON EMPTY);  -- => none
SELECT json_query('{"key" : [  "value"  ]}', 'lax $.key');  -- => ["value"]
SELECT json_query('{"a": [1, 2]}', 'lax $.a[*]' WITH ARRAY WRAPPER);  -- => [1,2]
SELECT json_query('{"a": {"b": 1}}', 'lax $.a.c');  -- => NULL
SELECT json_exists('{"a": [1]}', 'lax $.a[*]?(@ > 10)');  -- ! NOT_SUPPORTED
