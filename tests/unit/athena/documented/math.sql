-- Mathematical functions and operators, decimals, bitwise functions
-- https://trino.io/docs/current/functions/math.html, …/decimal.html, …/bitwise.html

SELECT 1 + 2;  -- integer => 3
SELECT 7 / 2;  -- integer => 3
SELECT -7 / 2;  -- integer => -3
SELECT 7 % 3;  -- integer => 1
SELECT mod(-7, 3);  -- integer => -1
SELECT 7 / 2e0;  -- double => 3.5
SELECT 1 / 2.0;  -- decimal(12,1) => 0.5
SELECT 1.0 / 3;  -- decimal(2,1) => 0.3
SELECT 2.50;  -- decimal(3,2) => 2.50
SELECT 1.5 * 2.25;  -- decimal(5,3) => 3.375
SELECT 1.5 + 2.25;  -- decimal(4,2) => 3.75
SELECT DECIMAL '12.30';  -- decimal(4,2) => 12.30
SELECT 3000000000;  -- bigint => 3000000000
SELECT BIGINT '3' + 1;  -- bigint => 4
SELECT 1e10;  -- double => 1.0E10
SELECT 1e-5;  -- double => 1.0E-5
SELECT 123456.75e0;  -- double => 123456.75
SELECT 1234567890123e0;  -- double => 1.234567890123E12
SELECT REAL '1.5';  -- real => 1.5
SELECT 1e0 / 0;  -- double => Infinity
SELECT nan();  -- double => NaN
SELECT abs(-3);  -- integer => 3
SELECT round(2.5e0);  -- double => 3.0
SELECT round(-2.5e0);  -- double => -3.0
SELECT round(1.2345e0, 2);  -- double => 1.23
SELECT round(7);  -- integer => 7
SELECT floor(-1.5e0);  -- double => -2.0
SELECT ceil(1.2);  -- decimal(2,0) => 2
SELECT truncate(-1.9e0);  -- double => -1.0
SELECT power(2, 10);  -- double => 1024.0
SELECT sqrt(2e0) > 1.414;  -- boolean => true
SELECT ln(0);  -- double => -Infinity
SELECT log(2, 8);  -- double => 3.0
SELECT sign(-3);  -- bigint => -1
SELECT greatest(1, 3, 2);  -- integer => 3
SELECT greatest(1, NULL);  -- integer => NULL
SELECT least(2, 1.5);  -- decimal(11,1) => 1.5
SELECT bitwise_and(12, 10);  -- bigint => 8
SELECT width_bucket(5, 0, 10, 5);  -- bigint => 3
SELECT CAST(2.5e0 AS bigint);  -- bigint => 3
SELECT CAST('42' AS integer);  -- integer => 42
SELECT CAST(1e10 AS varchar);  -- => 1.0E10
SELECT CAST(12.3e0 AS varchar);  -- => 1.23E1
SELECT CAST(0e0 AS varchar);  -- => 0.0E0
SELECT CAST(-0.00125e0 AS varchar);  -- => -1.25E-3
SELECT CAST(1.50 AS varchar);  -- => 1.50
SELECT CAST(1234.567 AS decimal(6,1));  -- decimal(6,1) => 1234.6
SELECT TRY_CAST('x' AS integer);  -- integer => NULL
SELECT TRY(1 / 0);  -- integer => NULL
SELECT is_nan(nan());  -- boolean => true

SELECT DECIMAL '0';  -- decimal(1,0) => 0
SELECT DECIMAL '12345';  -- decimal(5,0) => 12345
SELECT DECIMAL '0000012345.1234500000';  -- decimal(20,10) => 12345.1234500000
SELECT 5.0 % 3.5;  -- decimal(2,1) => 1.5
SELECT -(1.5);  -- decimal(2,1) => -1.5
SELECT cbrt(27);  -- double => 3.0
SELECT ceiling(-1.5e0);  -- double => -1.0
SELECT degrees(pi());  -- double => 180.0
SELECT radians(180);  -- double => 3.141592653589793
SELECT e();  -- double => 2.718281828459045
SELECT exp(0);  -- double => 1.0
SELECT ln(e());  -- double => 1.0
SELECT log2(8);  -- double => 3.0
SELECT log2(-1), log10(0), sin(infinity()), acos(2);
-- _col0 | _col1     | _col2 | _col3
-- NaN   | -Infinity | NaN   | NaN

SELECT log10(1000);  -- double => 3.0
SELECT pow(2, 3);  -- double => 8.0
SELECT pi();  -- double => 3.141592653589793
SELECT sign(2.5);  -- decimal(1,0) => 1
SELECT sign(-0.5e0);  -- double => -1.0
SELECT sign(nan());  -- double => NaN
SELECT round(1234.567, 1);  -- decimal(7,3) => 1234.600
SELECT round(1250, -2);  -- integer => 1300
SELECT round(-0.5e0);  -- double => -1.0
SELECT floor(2.7);  -- decimal(2,0) => 2
SELECT truncate(1.9e0);  -- double => 1.0
SELECT truncate(12.345, 2);  -- decimal(5,3) => 12.340
SELECT truncate(12.345);  -- decimal(2,0) => 12
SELECT width_bucket(3.5e0, 0, 10, 5);  -- bigint => 2
SELECT width_bucket(-1, 0, 10, 5);  -- bigint => 0
SELECT width_bucket(10, 0, 10, 5);  -- bigint => 6
SELECT width_bucket(8, 10, 0, 5);  -- bigint => 2
SELECT width_bucket(5, ARRAY[1, 3, 6]);  -- bigint => 2
SELECT random() BETWEEN 0 AND 1;  -- boolean => true
SELECT random(10) < 10;  -- boolean => true
SELECT random(5, 6);  -- integer => 5
SELECT rand() < 1;  -- boolean => true
SELECT acos(1);  -- double => 0.0
SELECT asin(0);  -- double => 0.0
SELECT atan(0);  -- double => 0.0
SELECT atan2(0, 1);  -- double => 0.0
SELECT cos(0);  -- double => 1.0
SELECT cosh(0);  -- double => 1.0
SELECT sin(0);  -- double => 0.0
SELECT sinh(0);  -- double => 0.0
SELECT tan(0);  -- double => 0.0
SELECT tanh(0);  -- double => 0.0
SELECT infinity();  -- double => Infinity
SELECT is_finite(1e0);  -- boolean => true
SELECT is_infinite(infinity());  -- boolean => true
SELECT from_base('ff', 16);  -- bigint => 255
SELECT from_base('-101', 2);  -- bigint => -5
SELECT from_base('xyz', 10);  -- ! INVALID_FUNCTION_ARGUMENT: Not a valid base-10 number: xyz
SELECT to_base(255, 16);  -- => ff
SELECT to_base(-5, 2);  -- => -101
SELECT cosine_similarity(MAP(ARRAY['a'], ARRAY[1.0]), MAP(ARRAY['a'], ARRAY[2.0]));  -- double => 1.0
SELECT normal_cdf(0, 1, 0);  -- double => 0.5
SELECT inverse_normal_cdf(0, 1, 0.5);  -- double => 0.0
SELECT round(wilson_interval_lower(1250, 1310, 1.96e0), 6);  -- double => 0.941488
SELECT round(wilson_interval_upper(1250, 1310, 1.96e0), 6);  -- double => 0.964252
SELECT 2147483647 + 1;  -- ! NUMERIC_VALUE_OUT_OF_RANGE
SELECT BIGINT '9223372036854775807' * 2;  -- ! NUMERIC_VALUE_OUT_OF_RANGE
SELECT 1 / 0;  -- ! DIVISION_BY_ZERO: Division by zero
SELECT 5 % 0;  -- ! DIVISION_BY_ZERO: Division by zero
SELECT 1.0 / 0.0;  -- ! DIVISION_BY_ZERO: Division by zero
SELECT beta_cdf(3, 4, 0.5);  -- ! NOT_SUPPORTED: line 1:8: The local Athena does not support the function beta_cdf

SELECT bit_count(9, 64), bit_count(9, 8), bit_count(-7, 64), bit_count(-7, 8);
-- _col0 | _col1 | _col2 | _col3
-- 2     | 2     | 62    | 6

SELECT bitwise_and(19, 25);  -- bigint => 17
SELECT bitwise_not(-12);  -- bigint => 11
SELECT bitwise_or(19, 25);  -- bigint => 27
SELECT bitwise_xor(19, 25);  -- bigint => 10
SELECT bitwise_left_shift(1, 2);  -- integer => 4
SELECT bitwise_left_shift(5, 2);  -- integer => 20
SELECT bitwise_left_shift(0, 1);  -- integer => 0
SELECT bitwise_right_shift(8, 3);  -- integer => 1
SELECT bitwise_right_shift(9, 1);  -- integer => 4
SELECT bitwise_right_shift(12, 64);  -- integer => 0
SELECT bitwise_right_shift(-45, 64);  -- integer => 0
SELECT bitwise_right_shift_arithmetic(12, 64);  -- integer => 0
SELECT bitwise_right_shift_arithmetic(-45, 64);  -- integer => -1

-- Decimals are divided exactly, half rounded away from zero, and written with their zero
SELECT 0.05;  -- decimal(2,2) => 0.05
SELECT CAST(-0.05 AS varchar);  -- varchar => -0.05
SELECT ARRAY[0.25];  -- array(decimal(2,2)) => [0.25]
SELECT DECIMAL '12345678901234567.89' / 3;  -- decimal(19,2) => 4115226300411522.63
SELECT 0.45 / 10;  -- decimal(2,2) => 0.05
SELECT -0.45 / 10;  -- decimal(2,2) => -0.05
SELECT 0.25 / -10.0;  -- decimal(3,2) => -0.03
SELECT CAST(DECIMAL '99999999999999999999999999999999999999' / 7 AS varchar);  -- varchar => 14285714285714285714285714285714285714
SELECT avg(x) FROM (VALUES 0.10, 0.15) AS t(x);  -- decimal(2,2) => 0.13
SELECT avg(DISTINCT x) FROM (VALUES 0.10, 0.15, 0.15) AS t(x);  -- decimal(2,2) => 0.13
SELECT max(a) FROM (SELECT avg(x) OVER () AS a FROM (VALUES DECIMAL '90071992547409930.01', DECIMAL '90071992547409930.03') AS t(x));  -- decimal(19,2) => 90071992547409930.02
SELECT avg(x) FILTER (WHERE x > 9) FROM (VALUES 0.10, 0.15) AS t(x);  -- decimal(2,2) => NULL
SELECT TRY(1 / 0.0);  -- decimal(12,1) => NULL
SELECT 1 / 0.0;  -- ! DIVISION_BY_ZERO
SELECT 123456789012.34 * 123456789012.34;  -- decimal(28,4) => 15241578753237434552672.2756
SELECT DECIMAL '999999999999999999' + DECIMAL '999999999999999999';  -- decimal(19,0) => 1999999999999999998
SELECT DECIMAL '-999999999999999999' - DECIMAL '999999999999999999';  -- decimal(19,0) => -1999999999999999998
SELECT DECIMAL '12345678901234567.8' % DECIMAL '0.07';  -- decimal(3,2) => 0.03
