-- String functions and operators, regular expressions, URLs, binary data
-- https://trino.io/docs/current/functions/string.html, …/regexp.html, …/url.html, …/binary.html

SELECT 'it''s';  -- => it's
SELECT length('héllo');  -- bigint => 5
SELECT 'a' || 'b';  -- => ab
SELECT concat('a', 'b', 'c');  -- => abc
SELECT concat('a', NULL);  -- => NULL
SELECT upper('aB');  -- => AB
SELECT substr('abcdef', 2, 3);  -- => bcd
SELECT substr('abcdef', -2);  -- => ef
SELECT substr('abc', 0);  -- => 
SELECT substring('abcdef' FROM 2 FOR 2);  -- => bc
SELECT strpos('abcabc', 'c');  -- bigint => 3
SELECT position('b' IN 'abc');  -- bigint => 2
SELECT replace('abc', 'b', 'x');  -- => axc
SELECT trim('  a ');  -- => a
SELECT trim(LEADING 'x' FROM 'xxaxx');  -- => axx
SELECT lpad('7', 3, '0');  -- => 007
SELECT split('a,b', ',');  -- array(varchar) => [a, b]
SELECT split_part('a,b,c', ',', 2);  -- => b
SELECT split_part('a,b', ',', 5);  -- => NULL
SELECT reverse('abc');  -- => cba
SELECT starts_with('abc', 'ab');  -- boolean => true
SELECT regexp_like('a1b', '[0-9]');  -- boolean => true
SELECT regexp_extract('a12b', '[0-9]+');  -- => 12
SELECT regexp_extract('ab', '[0-9]+');  -- => NULL
SELECT regexp_extract('a12b', '([a-z])([0-9]+)', 2);  -- => 12
SELECT regexp_replace('a1b2', '([0-9])', '<$1>');  -- => a<1>b<2>
SELECT to_hex(md5(to_utf8('a')));  -- => 0CC175B9C0F1B6A831C399E269772661
SELECT to_utf8('hi');  -- varbinary => 68 69
SELECT from_utf8(to_utf8('hi'));  -- => hi
SELECT 'abc' LIKE 'a%';  -- boolean => true
SELECT 'a_c' LIKE 'a#_c' ESCAPE '#';  -- boolean => true
SELECT coalesce(NULL, 'x');  -- => x
SELECT nullif('a', 'a');  -- => NULL
SELECT CAST('abcdef' AS varchar(3));  -- => abc
SELECT IF(1 > 2, 'a');  -- => NULL
SELECT CASE 2 WHEN 1 THEN 'a' WHEN 2 THEN 'b' ELSE 'c' END;  -- => b
SELECT typeof(1.5);  -- => decimal(2,1)
SELECT json_extract_scalar('{"a": {"b": 7}}', '$.a.b');  -- => 7
SELECT json_extract_scalar('{"a": {"b": 7}}', '$.a');  -- => NULL
SELECT json_extract('{"a": [1, 2]}', '$.a');  -- json => [1,2]
SELECT CAST(json_parse('[1, 2]') AS array(bigint));  -- array(bigint) => [1, 2]

SELECT chr(233);  -- => é
SELECT char_length('héllo'), character_length('héllo');
-- _col0 | _col1
-- 5     | 5

SELECT trim(chr(9) || 'a' || chr(10));  -- => a
SELECT codepoint('é');  -- integer => 233
SELECT concat_ws(',', 'a', NULL, 'b');  -- => a,b
SELECT concat_ws(NULL, 'a', 'b');  -- => NULL
SELECT concat_ws(',', CAST(NULL AS varchar));  -- =>
SELECT concat_ws('-', ARRAY['x', NULL, 'y']);  -- => x-y
SELECT hamming_distance('abc', 'abd');  -- bigint => 1
SELECT levenshtein_distance('kitten', 'sitting');  -- bigint => 3
SELECT levenshtein_distance('héllo', 'hello');  -- bigint => 1
SELECT hamming_distance('abc', 'ab');  -- ! INVALID_FUNCTION_ARGUMENT: The input strings to hamming_distance function must have the same length
SELECT lower('ÀB');  -- => àb
SELECT lpad('testing', 5, 'z');  -- => testi
SELECT lpad('text', 10, 'ab');  -- => abababtext
SELECT rpad('text', 7, '_');  -- => text___
SELECT ltrim('  ab ') || '|';  -- => ab |
SELECT rtrim(' ab  ') || '|';  -- =>  ab|
SELECT luhn_check('79927398713');  -- boolean => true
SELECT luhn_check('79927398714');  -- boolean => false
SELECT replace('banana', 'an');  -- => ba
SELECT soundex('CHYNA') = soundex('China');  -- boolean => true
SELECT split('a-b-c', '-', 2);  -- array(varchar) => [a, b-c]
SELECT split_part('a,b', ',', 0);  -- ! INVALID_FUNCTION_ARGUMENT: Index must be greater than zero
SELECT split_to_map('a=1,b=2', ',', '=');  -- map(varchar, varchar) => {a=1, b=2}
SELECT split_to_map('a=1,a=2', ',', '=');  -- ! INVALID_FUNCTION_ARGUMENT: Duplicate keys (a) are not allowed
SELECT split_to_map('a=1,b', ',', '=');  -- ! INVALID_FUNCTION_ARGUMENT: Key-value delimiter must appear exactly once in each entry. Bad input: 'b'
SELECT split_to_multimap('a=1,b=2,a=3', ',', '=');  -- map(varchar, array(varchar)) => {a=[1, 3], b=[2]}
SELECT strpos('abcabc', 'c', 2);  -- bigint => 6
SELECT strpos('abcabc', 'a', -1);  -- bigint => 4
SELECT strpos('abc', 'x');  -- bigint => 0
SELECT substring('abcdef', -3, 2);  -- => de
SELECT substr('abc', 5);  -- =>
SELECT substr('abc', -5);  -- =>
SELECT translate('abcd', '', '');  -- => abcd
SELECT translate('abcd', 'a', 'z');  -- => zbcd
SELECT translate('abcda', 'a', 'z');  -- => zbcdz
SELECT translate('Palhoça', 'ç','c');  -- => Palhoca
SELECT translate('abcd', 'a', '');  -- => bcd
SELECT translate('abcd', 'a', 'zy');  -- => zbcd
SELECT translate('abcd', 'ac', 'z');  -- => zbd
SELECT translate('abcd', 'aac', 'zq');  -- => zbd
SELECT trim('!' FROM '!foo!');  -- => foo
SELECT trim(LEADING FROM '  abcd');  -- => abcd
SELECT trim(BOTH '$' FROM '$var$');  -- => var
SELECT trim(TRAILING 'ER' FROM upper('worker'));  -- => WORK
SELECT normalize('é');  -- => é
SELECT length(normalize('é', NFD));  -- bigint => 2
SELECT from_utf8(X'68ff69', '?');  -- => h?i
SELECT from_utf8(X'68ff69') = 'h' || chr(65533) || 'i';  -- boolean => true
SELECT word_stem('running');  -- ! NOT_SUPPORTED: line 1:8: The local Athena does not support the function word_stem

SELECT format('%s%%', 123);  -- => 123%
SELECT format('%.5f', pi());  -- => 3.14159
SELECT format('%03d', 8);  -- => 008
SELECT format('%,.2f', 1234567.89);  -- => 1,234,567.89
SELECT format('%-7s,%7s', 'hello', 'world');  -- => hello  ,  world
SELECT format('%2$s %3$s %1$s', 'a', 'b', 'c');  -- => b c a
SELECT format('%1$tA, %1$tB %1$te, %1$tY', date '2006-07-04');  -- => Tuesday, July 4, 2006
SELECT format('%s-%x', true, 255);  -- => true-ff
SELECT format_number(123456);  -- => 123K
SELECT format_number(1000000);  -- => 1M
SELECT parse_data_size('1B');  -- decimal(38,0) => 1
SELECT parse_data_size('1kB');  -- decimal(38,0) => 1024
SELECT parse_data_size('1MB');  -- decimal(38,0) => 1048576
SELECT parse_data_size('2.3MB');  -- decimal(38,0) => 2411724
SELECT typeof(123);  -- => integer
SELECT typeof('cat');  -- => varchar(3)
SELECT typeof(cos(2) + 1.5);  -- => double

SELECT regexp_count('1a 2b 14m', '\s*[a-z]+\s*');  -- bigint => 3
SELECT regexp_extract_all('1a 2b 14m', '\d+');  -- array(varchar) => [1, 2, 14]
SELECT regexp_extract_all('1a 2b 14m', '(\d+)([a-z]+)', 2);  -- array(varchar) => [a, b, m]
SELECT regexp_extract('1a 2b 14m', '\d+');  -- => 1
SELECT regexp_extract('1a 2b 14m', '(\d+)([a-z]+)', 2);  -- => a
SELECT regexp_extract('ac', 'a(b)?c', 1);  -- => NULL
SELECT regexp_extract('a1', '(\d)', 3);  -- ! INVALID_FUNCTION_ARGUMENT: Pattern has 1 groups. Cannot access group 3
SELECT regexp_like('1a 2b 14m', '\d+b');  -- boolean => true
SELECT regexp_like('Hello', '(?i)^hello$');  -- boolean => true
SELECT regexp_like('price: 5', '(?<=price: )\d');  -- boolean => true
SELECT regexp_like('abab', '(ab)\1');  -- boolean => true
SELECT regexp_like('a', '(');  -- ! INVALID_FUNCTION_ARGUMENT
SELECT regexp_position('I have 23 apples, 5 pears and 13 oranges', '\b\d+\b');  -- integer => 8
SELECT regexp_position('I have 23 apples, 5 pears and 13 oranges', '\b\d+\b', 5);  -- integer => 8
SELECT regexp_position('I have 23 apples, 5 pears and 13 oranges', '\b\d+\b', 12);  -- integer => 19
SELECT regexp_position('I have 23 apples, 5 pears and 13 oranges', '\b\d+\b', 12, 1);  -- integer => 19
SELECT regexp_position('I have 23 apples, 5 pears and 13 oranges', '\b\d+\b', 12, 2);  -- integer => 31
SELECT regexp_position('I have 23 apples, 5 pears and 13 oranges', '\b\d+\b', 12, 3);  -- integer => -1
SELECT regexp_replace('1a 2b 14m', '\d+[ab] ');  -- => 14m
SELECT regexp_replace('1a 2b 14m', '(\d+)([ab]) ', '3c$2 ');  -- => 3ca 3cb 14m
SELECT regexp_replace('price 5', '(?<n>\d)', '\$${n}');  -- => price $5
SELECT regexp_replace('new york', '(\w)(\w*)', x -> upper(x[1]) || lower(x[2]));  -- => New York
SELECT regexp_replace('once upon a time ...', '^(\w)(\w*)(\s+.*)$', x -> upper(x[1]) || x[2] || x[3]);  -- => Once upon a time ...
SELECT regexp_split('1a 2b 14m', '\s*[a-z]+\s*');  -- array(varchar) => [1, 2, 14, ]

SELECT url_extract_protocol('http://localhost:8080/req_path');  -- => http
SELECT url_extract_protocol('https://127.0.0.1:8080/req_path');  -- => https
SELECT url_extract_protocol('ftp://path/file');  -- => ftp
SELECT url_extract_host('https://example.com:8443/a/b?x=1&y=%20z#top');  -- => example.com
SELECT url_extract_port('https://example.com:8443/a/b?x=1&y=%20z#top');  -- bigint => 8443
SELECT url_extract_path('https://example.com:8443/a/b?x=1&y=%20z#top');  -- => /a/b
SELECT url_extract_query('https://example.com:8443/a/b?x=1&y=z#top');  -- => x=1&y=z
SELECT url_extract_fragment('https://example.com:8443/a/b?x=1&y=%20z#top');  -- => top
SELECT url_extract_parameter('https://example.com/?x=1&y=%20z&y=2', 'y');  -- =>  z
SELECT url_extract_parameter('https://example.com/?x=1', 'q');  -- => NULL
SELECT url_extract_port('https://example.com/');  -- bigint => NULL
SELECT url_encode('http://test?a=b c~*é');  -- => http%3A%2F%2Ftest%3Fa%3Db+c%7E*%C3%A9
SELECT url_decode('a+b%20c%2F');  -- => a b c/

SELECT length(X'0102');  -- bigint => 2
SELECT X'01' || X'02';  -- varbinary => 01 02
SELECT lpad(X'01', 3, X'00');  -- varbinary => 00 00 01
SELECT rpad(X'01', 2, X'ff');  -- varbinary => 01 ff
SELECT substr(X'010203', 2);  -- varbinary => 02 03
SELECT substr(X'010203', -2, 1);  -- varbinary => 02
SELECT reverse(X'010203');  -- varbinary => 03 02 01
SELECT from_base64('aGk=');  -- varbinary => 68 69
SELECT to_base64(X'fbff');  -- => +/8=
SELECT to_base64url(X'fbff');  -- => -_8=
SELECT from_base64url('-_8=');  -- varbinary => fb ff
SELECT to_base32(X'6869');  -- => NBUQ====
SELECT from_base32('NBUQ====');  -- varbinary => 68 69
SELECT from_hex('6869');  -- varbinary => 68 69
SELECT to_hex(X'68ff');  -- => 68FF
SELECT from_big_endian_32(X'000000ff');  -- integer => 255
SELECT to_big_endian_32(-1);  -- varbinary => ff ff ff ff
SELECT from_big_endian_64(X'00000000000000ff');  -- bigint => 255
SELECT to_big_endian_64(255);  -- varbinary => 00 00 00 00 00 00 00 ff
SELECT from_ieee754_64(to_ieee754_64(1.5e0));  -- double => 1.5
SELECT from_ieee754_32(to_ieee754_32(REAL '1.5'));  -- real => 1.5
SELECT crc32(to_utf8('hello'));  -- bigint => 907060870
SELECT to_hex(sha1(to_utf8('abc')));  -- => A9993E364706816ABA3E25717850C26C9CD0D89D
SELECT to_hex(sha256(to_utf8('abc')));  -- => BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD
SELECT substr(to_hex(sha512(to_utf8('abc'))), 1, 16);  -- => DDAF35A193617ABA
SELECT to_hex(hmac_md5(to_utf8('what do ya want for nothing?'), to_utf8('Jefe')));  -- => 750C783E6AB0B503EAA86E310A5DB738
SELECT to_hex(hmac_sha1(to_utf8('what do ya want for nothing?'), to_utf8('Jefe')));  -- => EFFCDF6AE5EB2FA2D27416D5F184DF9C259A7C79
SELECT substr(to_hex(hmac_sha256(to_utf8('what do ya want for nothing?'), to_utf8('Jefe'))), 1, 16);  -- => 5BDCC146BF60754E
SELECT substr(to_hex(hmac_sha512(to_utf8('what do ya want for nothing?'), to_utf8('Jefe'))), 1, 16);  -- => 164B7A7BFCF819E2
SELECT xxhash64(X'00');  -- ! NOT_SUPPORTED: line 1:8: The local Athena does not support the function xxhash64
SELECT uuid() = uuid();  -- boolean => false
SELECT length(CAST(uuid() AS varchar));  -- bigint => 36
SELECT upper('straße');  -- varchar => STRAßE
