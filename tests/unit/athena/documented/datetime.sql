-- Date and time functions and operators; the session's zone is UTC, as Athena's is
-- https://trino.io/docs/current/functions/datetime.html

SELECT DATE '2020-02-29';  -- date => 2020-02-29
SELECT TIMESTAMP '2020-01-01 10:00:00';  -- timestamp(0) => 2020-01-01 10:00:00
SELECT TIMESTAMP '2020-01-01 10:00:00.123';  -- timestamp(3) => 2020-01-01 10:00:00.123
SELECT TIMESTAMP '2020-01-01 10:00:00.123456';  -- timestamp(6) => 2020-01-01 10:00:00.123456
SELECT TIMESTAMP '2020-01-01 10:00:00.12';  -- timestamp(2) => 2020-01-01 10:00:00.12
SELECT TIMESTAMP '2020-01-01 10:00 Asia/Seoul';  -- timestamp(0) with time zone => 2020-01-01 10:00:00 Asia/Seoul
SELECT CAST('2020-01-01 10:00:00.5' AS timestamp);  -- timestamp(3) => 2020-01-01 10:00:00.500
SELECT CAST(TIMESTAMP '2020-01-01 10:00:00.1236' AS timestamp(3));  -- timestamp(3) => 2020-01-01 10:00:00.124
SELECT CAST('2020-01-31' AS date) + INTERVAL '1' MONTH;  -- date => 2020-02-29
SELECT DATE '2020-01-03' - DATE '2020-01-01';  -- interval day to second => 2 00:00:00.000
SELECT TIMESTAMP '2020-01-01 00:00:00' - INTERVAL '90' MINUTE;  -- timestamp(0) => 2019-12-31 22:30:00
SELECT 2 * INTERVAL '1' DAY;  -- interval day to second => 2 00:00:00.000
SELECT INTERVAL '14' MONTH;  -- interval year to month => 1-2
SELECT date_add('month', 1, DATE '2020-01-31');  -- date => 2020-02-29
SELECT date_add('hour', -1, TIMESTAMP '2020-01-01 00:30:00');  -- timestamp(0) => 2019-12-31 23:30:00
SELECT date_add('quarter', 1, DATE '2020-01-01');  -- date => 2020-04-01
SELECT date_add('millisecond', 1704153600123, TIMESTAMP '1970-01-01 00:00:00.000');  -- timestamp(3) => 2024-01-02 00:00:00.123
SELECT date_diff('day', TIMESTAMP '2020-01-01 12:00:00', TIMESTAMP '2020-01-02 11:00:00');  -- bigint => 0
SELECT date_diff('hour', DATE '2020-01-01', TIMESTAMP '2020-01-02 01:30:00');  -- bigint => 25
SELECT date_diff('month', DATE '2020-01-15', DATE '2020-03-14');  -- bigint => 1
SELECT date_diff('day', DATE '2020-01-03', DATE '2020-01-01');  -- bigint => -2
SELECT date_trunc('month', DATE '2020-02-29');  -- date => 2020-02-01
SELECT date_trunc('hour', TIMESTAMP '2020-02-29 10:59:59');  -- timestamp(0) => 2020-02-29 10:00:00
SELECT date_trunc('week', DATE '2020-02-29');  -- date => 2020-02-24
SELECT from_unixtime(1577836800);  -- timestamp(3) with time zone => 2020-01-01 00:00:00.000 UTC
SELECT to_unixtime(TIMESTAMP '2020-01-01 00:00:00.5');  -- double => 1.5778368005E9
SELECT from_iso8601_timestamp('2020-01-01T10:00:00+09:00');  -- timestamp(3) with time zone => 2020-01-01 10:00:00.000 +09:00
SELECT from_iso8601_timestamp('2020-01-01T10:00:00Z');  -- timestamp(3) with time zone => 2020-01-01 10:00:00.000 UTC
SELECT from_iso8601_timestamp('2020-01-01T10:00:00.123456');  -- timestamp(3) with time zone => 2020-01-01 10:00:00.123 UTC
SELECT TIMESTAMP '2020-01-01 00:00:00' AT TIME ZONE 'Asia/Seoul';  -- timestamp(0) with time zone => 2020-01-01 09:00:00 Asia/Seoul
SELECT CAST(from_unixtime(1577836800) AT TIME ZONE 'Asia/Seoul' AS timestamp);  -- timestamp(3) => 2020-01-01 09:00:00.000
SELECT date(from_unixtime(1577836800 + 3600 * 16) AT TIME ZONE 'Asia/Seoul');  -- date => 2020-01-02
SELECT hour(from_unixtime(1577836800) AT TIME ZONE '+05:30');  -- bigint => 5
SELECT with_timezone(TIMESTAMP '2020-01-01 00:00:00', 'Asia/Seoul');  -- timestamp(0) with time zone => 2020-01-01 00:00:00 Asia/Seoul
SELECT day_of_week(DATE '2020-01-05');  -- bigint => 7
SELECT dow(DATE '2020-01-06');  -- bigint => 1
SELECT day_of_year(DATE '2020-12-31');  -- bigint => 366
SELECT week(DATE '2021-01-03');  -- bigint => 53
SELECT year_of_week(DATE '2021-01-03');  -- bigint => 2020
SELECT EXTRACT(YEAR FROM DATE '2020-01-05');  -- bigint => 2020
SELECT millisecond(TIMESTAMP '2020-01-01 00:00:01.234');  -- bigint => 234
SELECT last_day_of_month(DATE '2020-02-01');  -- date => 2020-02-29
SELECT date_format(TIMESTAMP '2020-01-05 14:05:06', '%Y-%m-%d %H:%i:%s');  -- => 2020-01-05 14:05:06
SELECT date_format(TIMESTAMP '2020-01-05 14:05:06', '%W %e %b %l%p');  -- => Sunday 5 Jan 2PM
SELECT format_datetime(TIMESTAMP '2020-01-05 14:05:06', 'yyyy-MM-dd''T''HH:mm:ss');  -- => 2020-01-05T14:05:06
SELECT date_parse('2020/01/05 14', '%Y/%m/%d %H');  -- timestamp(3) => 2020-01-05 14:00:00.000
SELECT parse_datetime('2020-01-05', 'yyyy-MM-dd');  -- timestamp(3) with time zone => 2020-01-05 00:00:00.000 UTC
SELECT to_iso8601(DATE '2020-01-05');  -- => 2020-01-05
SELECT to_iso8601(from_unixtime(0));  -- => 1970-01-01T00:00:00.000Z
SELECT CAST(TIMESTAMP '2020-01-01 00:00:00.000' AS varchar);  -- => 2020-01-01 00:00:00.000
SELECT DATE '2020-01-01' < TIMESTAMP '2020-01-01 00:00:01';  -- boolean => true
SELECT TIMESTAMP '2020-01-01 00:00:00' = from_iso8601_timestamp('2020-01-01T00:00:00Z');  -- boolean => true

SELECT date '2012-08-08' + interval '2' day;  -- date => 2012-08-10
SELECT time '01:00' + interval '3' hour;  -- time(0) => 04:00:00
SELECT timestamp '2012-08-08 01:00' + interval '29' hour;  -- timestamp(0) => 2012-08-09 06:00:00
SELECT timestamp '2012-10-31 01:00' + interval '1' month;  -- timestamp(0) => 2012-11-30 01:00:00
SELECT interval '2' day + interval '3' hour;  -- interval day to second => 2 03:00:00.000
SELECT interval '3' year + interval '5' month;  -- interval year to month => 3-5
SELECT date '2012-08-08' - interval '2' day;  -- date => 2012-08-06
SELECT time '01:00' - interval '3' hour;  -- time(0) => 22:00:00
SELECT timestamp '2012-08-08 01:00' - interval '29' hour;  -- timestamp(0) => 2012-08-06 20:00:00
SELECT timestamp '2012-10-31 01:00' - interval '1' month;  -- timestamp(0) => 2012-09-30 01:00:00
SELECT interval '2' day - interval '3' hour;  -- interval day to second => 1 21:00:00.000
SELECT interval '3' year - interval '5' month;  -- interval year to month => 2-7
SELECT interval '2' day > interval '3' hour;  -- boolean => true
SELECT -interval '1' day;  -- interval day to second => -1 00:00:00.000
SELECT interval '1-2' year to month;  -- interval year to month => 1-2
SELECT interval '1 02:03:04.005' day to second;  -- interval day to second => 1 02:03:04.005
SELECT timestamp '2012-10-31 01:00 UTC';  -- timestamp(0) with time zone => 2012-10-31 01:00:00 UTC
SELECT timestamp '2012-10-31 01:00 UTC' AT TIME ZONE 'America/Los_Angeles';  -- timestamp(0) with time zone => 2012-10-30 18:00:00 America/Los_Angeles
SELECT current_date = date(now());  -- boolean => true
SELECT typeof(current_timestamp);  -- => timestamp(3) with time zone
SELECT typeof(current_timestamp(6));  -- => timestamp(6) with time zone
SELECT typeof(localtimestamp);  -- => timestamp(3)
SELECT typeof(localtimestamp(6));  -- => timestamp(6)
SELECT typeof(current_time);  -- ! NOT_SUPPORTED
SELECT typeof(localtime);  -- => time(3)
SELECT now() = current_timestamp;  -- boolean => true
SELECT current_timezone();  -- => UTC
SELECT date('2022-01-02');  -- date => 2022-01-02
SELECT last_day_of_month(timestamp '2022-02-03 10:00:00');  -- date => 2022-02-28
SELECT from_iso8601_timestamp('2020-05-11');  -- timestamp(3) with time zone => 2020-05-11 00:00:00.000 UTC
SELECT from_iso8601_timestamp('2020-05-11T11:15:05');  -- timestamp(3) with time zone => 2020-05-11 11:15:05.000 UTC
SELECT from_iso8601_timestamp('2020-05-11T11:15:05.055+01:00');  -- timestamp(3) with time zone => 2020-05-11 11:15:05.055 +01:00
SELECT from_iso8601_timestamp('2020-05-11 11:15:05');  -- ! INVALID_FUNCTION_ARGUMENT
SELECT from_iso8601_timestamp_nanos('2020-05-11T11:15:05');  -- ! NOT_SUPPORTED
SELECT from_iso8601_date('2020-05-11');  -- date => 2020-05-11
SELECT from_iso8601_date('2020-W10');  -- date => 2020-03-02
SELECT from_iso8601_date('2020-W10-3');  -- date => 2020-03-04
SELECT from_iso8601_date('2020-123');  -- date => 2020-05-02
SELECT from_iso8601_date('11/05/2020');  -- ! INVALID_FUNCTION_ARGUMENT
SELECT at_timezone(TIMESTAMP '2022-11-01 13:08:07.321', 'America/Los_Angeles');  -- timestamp(3) with time zone => 2022-11-01 06:08:07.321 America/Los_Angeles
SELECT with_timezone(TIMESTAMP '2022-11-01 09:08:07.321', 'America/Los_Angeles');  -- timestamp(3) with time zone => 2022-11-01 09:08:07.321 America/Los_Angeles
SELECT from_unixtime(0, 'Asia/Seoul');  -- timestamp(3) with time zone => 1970-01-01 09:00:00.000 Asia/Seoul
SELECT from_unixtime(0, 5, 30);  -- timestamp(3) with time zone => 1970-01-01 05:30:00.000 +05:30
SELECT from_unixtime_nanos(1577836800123456789);  -- ! NOT_SUPPORTED
SELECT to_iso8601(TIMESTAMP '2020-01-05 10:00:00');  -- => 2020-01-05T10:00:00
SELECT to_iso8601(TIMESTAMP '2020-01-05 10:00:00.120');  -- => 2020-01-05T10:00:00.120
SELECT to_iso8601(TIMESTAMP '2020-01-05 10:00:00.120 Asia/Seoul');  -- => 2020-01-05T10:00:00.120+09:00
SELECT to_milliseconds(interval '1' minute);  -- bigint => 60000
SELECT to_unixtime(TIMESTAMP '1970-01-02 00:00:00');  -- double => 86400.0

SELECT date_trunc('millisecond', TIMESTAMP '2001-08-22 03:04:05.321');  -- timestamp(3) => 2001-08-22 03:04:05.321
SELECT date_trunc('second', TIMESTAMP '2001-08-22 03:04:05.321');  -- timestamp(3) => 2001-08-22 03:04:05.000
SELECT date_trunc('minute', TIMESTAMP '2001-08-22 03:04:05.321');  -- timestamp(3) => 2001-08-22 03:04:00.000
SELECT date_trunc('hour', TIMESTAMP '2001-08-22 03:04:05.321');  -- timestamp(3) => 2001-08-22 03:00:00.000
SELECT date_trunc('day', TIMESTAMP '2001-08-22 03:04:05.321');  -- timestamp(3) => 2001-08-22 00:00:00.000
SELECT date_trunc('week', TIMESTAMP '2001-08-22 03:04:05.321');  -- timestamp(3) => 2001-08-20 00:00:00.000
SELECT date_trunc('month', TIMESTAMP '2001-08-22 03:04:05.321');  -- timestamp(3) => 2001-08-01 00:00:00.000
SELECT date_trunc('quarter', TIMESTAMP '2001-08-22 03:04:05.321');  -- timestamp(3) => 2001-07-01 00:00:00.000
SELECT date_trunc('year', TIMESTAMP '2001-08-22 03:04:05.321');  -- timestamp(3) => 2001-01-01 00:00:00.000
SELECT date_trunc('century', TIMESTAMP '2001-08-22 03:04:05.321');  -- ! INVALID_FUNCTION_ARGUMENT: 'century' is not a valid TIMESTAMP field
SELECT date_add('second', 86, TIMESTAMP '2020-03-01 00:00:00');  -- timestamp(0) => 2020-03-01 00:01:26
SELECT date_add('hour', 9, TIMESTAMP '2020-03-01 00:00:00');  -- timestamp(0) => 2020-03-01 09:00:00
SELECT date_add('day', -1, TIMESTAMP '2020-03-01 00:00:00 UTC');  -- timestamp(0) with time zone => 2020-02-29 00:00:00 UTC
SELECT date_diff('second', TIMESTAMP '2020-03-01 00:00:00', TIMESTAMP '2020-03-02 00:00:00');  -- bigint => 86400
SELECT date_diff('hour', TIMESTAMP '2020-03-01 00:00:00 UTC', TIMESTAMP '2020-03-02 00:00:00 UTC');  -- bigint => 24
SELECT date_diff('day', DATE '2020-03-01', DATE '2020-03-02');  -- bigint => 1
SELECT date_diff('millisecond', TIMESTAMP '2020-06-01 12:30:45.000000', TIMESTAMP '2020-06-02 12:30:45.123456');  -- bigint => 86400123
SELECT date_diff('second', TIMESTAMP '2020-06-01 12:30:45.000000', TIMESTAMP '2020-06-02 12:30:45.123456');  -- bigint => 86400
SELECT date_diff('year', DATE '2000-02-29', DATE '2001-02-28');  -- bigint => 1
SELECT parse_duration('42.8ms');  -- interval day to second => 0 00:00:00.043
SELECT parse_duration('3.81 d');  -- interval day to second => 3 19:26:24.000
SELECT parse_duration('5m');  -- interval day to second => 0 00:05:00.000
SELECT human_readable_seconds(96);  -- => 1 minute, 36 seconds
SELECT human_readable_seconds(3762);  -- => 1 hour, 2 minutes, 42 seconds
SELECT human_readable_seconds(56363463);  -- => 93 weeks, 1 day, 8 hours, 31 minutes, 3 seconds

SELECT date_format(TIMESTAMP '2022-10-20 05:10:00', '%m-%d-%Y %H');  -- => 10-20-2022 05
SELECT date_format(TIMESTAMP '2022-01-05 05:10:07.123', '%a %b %c %e %f %h %j %k %l %p %r %s %T %v %y %%');  -- => Wed Jan 1 5 123000 05 005 5 5 AM 05:10:07 AM 07 05:10:07 01 22 %
SELECT date_format(DATE '2022-01-05', '%D');  -- ! NOT_SUPPORTED: line 1:8: The local Athena does not support '%D' in a pattern of date_format
SELECT date_parse('2022/10/20/05', '%Y/%m/%d/%H');  -- timestamp(3) => 2022-10-20 05:00:00.000
SELECT date_parse('5 Jan 2020 2:03:04 PM', '%e %b %Y %l:%i:%s %p');  -- timestamp(3) => 2020-01-05 14:03:04.000
SELECT date_parse('20', '%Y-%m-%d');  -- ! INVALID_FUNCTION_ARGUMENT: Invalid format: "20"
SELECT format_datetime(TIMESTAMP '2022-10-20 05:10:00', 'EEEE, d MMMM yyyy h:mm a');  -- => Thursday, 20 October 2022 5:10 AM
SELECT parse_datetime('20/Oct/2022:05:10:00', 'dd/MMM/yyyy:HH:mm:ss');  -- timestamp(3) with time zone => 2022-10-20 05:10:00.000 UTC
SELECT extract(YEAR FROM TIMESTAMP '2022-10-20 05:10:00');  -- bigint => 2022
SELECT extract(DOW FROM DATE '2022-10-20');  -- bigint => 4
SELECT extract(TIMEZONE_HOUR FROM TIMESTAMP '2022-10-20 05:10:00 +05:30');  -- bigint => 5
SELECT timezone_hour(TIMESTAMP '2022-10-20 05:10:00 Asia/Seoul');  -- bigint => 9
SELECT timezone_minute(TIMESTAMP '2022-10-20 05:10:00 +05:30');  -- bigint => 30
SELECT year(DATE '2022-10-20'), quarter(DATE '2022-10-20'), month(DATE '2022-10-20'), day(DATE '2022-10-20'), day_of_month(DATE '2022-10-20');
-- _col0 | _col1 | _col2 | _col3 | _col4
-- 2022  | 4     | 10    | 20    | 20

SELECT doy(DATE '2022-10-20'), week_of_year(DATE '2022-10-20'), yow(DATE '2022-10-20'), hour(TIME '01:02:03'), minute(TIME '01:02:03'), second(TIME '01:02:03');
-- _col0 | _col1 | _col2 | _col3 | _col4 | _col5
-- 293   | 42    | 2022  | 1     | 2     | 3

SELECT CAST('10:11:12.5' AS time);  -- time(3) => 10:11:12.500
SELECT CAST(TIMESTAMP '2020-01-01 10:11:12' AS time);  -- time(3) => 10:11:12.000
SELECT TIME '10:00:00' < TIME '11:00:00';  -- boolean => true
SELECT CAST(TIME '10:11:12' AS varchar);  -- => 10:11:12
