-- Athena's DDL: databases, tables, partitions, views, and what shows them
-- https://docs.aws.amazon.com/athena/latest/ug/ddl-reference.html

CREATE DATABASE IF NOT EXISTS ${db}_more
COMMENT 'analytics' LOCATION 's3://${bucket}/more/' WITH DBPROPERTIES ('creator'='Jane D.');  -- ok
ALTER DATABASE ${db}_more SET DBPROPERTIES ('department'='Analytics');  -- ok
CREATE DATABASE ${db}_more;  -- ! FAILED: Execution Error
SHOW DATABASES '${db}*more';
-- database_name
-- ${db}_more

CREATE EXTERNAL TABLE IF NOT EXISTS ${db}_more.orders (
  `o_orderkey` int COMMENT 'the key',
  `o_custkey` int,
  `o_totalprice` double,
  `o_tags` array<string>,
  `o_ship` struct<street:string,zip:int>)
PARTITIONED BY (`o_orderdate` string)
ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
LOCATION 's3://${bucket}/more/orders/'
TBLPROPERTIES ('skip.header.line.count'='1');  -- ok
CREATE EXTERNAL TABLE ${db}_more.orders (x int) LOCATION 's3://${bucket}/x/';  -- ! FAILED: Execution Error
SHOW TABLES IN ${db}_more;
-- tab_name
-- orders

SHOW TABLES IN ${db}_more 'ord.*|x*';
-- tab_name

SHOW TABLES IN ${db}_more 'ord*';
-- tab_name
-- orders

SHOW TABLES IN nowhere;  -- ! FAILED: SemanticException [Error 10072]: Database does not exist: nowhere
SHOW COLUMNS IN ${db}_more.orders;
-- field
-- o_orderkey
-- o_custkey
-- o_totalprice
-- o_tags
-- o_ship
-- o_orderdate

SHOW COLUMNS FROM orders IN ${db}_more;
-- field
-- o_orderkey
-- o_custkey
-- o_totalprice
-- o_tags
-- o_ship
-- o_orderdate

DESCRIBE ${db}_more.orders;
-- col_name | data_type | comment
-- o_orderkey | int | the key
-- o_custkey | int
-- o_totalprice | double
-- o_tags | array<string>
-- o_ship | struct<street:string,zip:int>
-- o_orderdate | string
--
-- # Partition Information
-- # col_name | data_type | comment
--
-- o_orderdate | string

DESCRIBE ${db}_more.orders o_ship;
-- col_name | data_type | comment
-- o_ship | struct<street:string,zip:int>

DESCRIBE ${db}_more.orders nothing;  -- ! FAILED: SemanticException [Error 10002]: Invalid column reference nothing
DESCRIBE FORMATTED ${db}_more.orders;  -- ok
DESCRIBE EXTENDED ${db}_more.orders;  -- ! NOT_SUPPORTED: The local Athena does not support DESCRIBE EXTENDED
ALTER TABLE ${db}_more.orders ADD IF NOT EXISTS
  PARTITION (o_orderdate = '1995') LOCATION 's3://${bucket}/more/orders/1995/'
  PARTITION (o_orderdate = '1996') LOCATION 's3://${bucket}/more/orders/1996/';  -- ok
ALTER TABLE ${db}_more.orders ADD PARTITION (o_orderdate = '1995');  -- ! FAILED: Execution Error
DESCRIBE ${db}_more.orders PARTITION (o_orderdate = '1994');  -- ! FAILED: SemanticException [Error 10006]: Partition not found o_orderdate=1994
SHOW PARTITIONS ${db}_more.orders;
-- partition
-- o_orderdate=1995
-- o_orderdate=1996

ALTER TABLE ${db}_more.orders PARTITION (o_orderdate = '1996') RENAME TO PARTITION (o_orderdate = '1997');  -- ok
ALTER TABLE ${db}_more.orders PARTITION (o_orderdate = '1995') SET LOCATION 's3://${bucket}/more/elsewhere/';  -- ok
ALTER TABLE ${db}_more.orders DROP PARTITION (o_orderdate = '1995');  -- ok
ALTER TABLE ${db}_more.orders DROP IF EXISTS PARTITION (o_orderdate = '1995');  -- ok
ALTER TABLE ${db}_more.orders DROP PARTITION (o_orderdate = '1995');  -- ! FAILED: SemanticException [Error 10006]: Partition not found
SHOW PARTITIONS ${db}_more.orders;
-- partition
-- o_orderdate=1997

MSCK REPAIR TABLE ${db}_more.orders;  -- ok
ALTER TABLE ${db}_more.orders ADD COLUMNS (o_comment string COMMENT 'free text', o_clerk string);  -- ok
ALTER TABLE ${db}_more.orders ADD COLUMNS (o_clerk string);  -- ! FAILED: Execution Error
ALTER TABLE ${db}_more.orders CHANGE COLUMN o_clerk o_by varchar(10) COMMENT 'who' AFTER o_custkey;  -- ok
ALTER TABLE ${db}_more.orders CHANGE o_comment o_comment string FIRST;  -- ok
SHOW COLUMNS IN ${db}_more.orders;
-- field
-- o_comment
-- o_orderkey
-- o_custkey
-- o_by
-- o_totalprice
-- o_tags
-- o_ship
-- o_orderdate

ALTER TABLE ${db}_more.orders REPLACE COLUMNS (o_orderkey bigint, o_comment string);  -- ok
DESCRIBE ${db}_more.orders o_orderkey;
-- col_name | data_type | comment
-- o_orderkey | bigint

ALTER TABLE ${db}_more.orders SET TBLPROPERTIES ('notes'='Please do not drop this table.');  -- ok
SHOW TBLPROPERTIES ${db}_more.orders('notes');
-- prpt_name | prpt_value
-- notes | Please do not drop this table.

ALTER TABLE ${db}_more.orders SET LOCATION 's3://${bucket}/more/orders2/';  -- ok
SHOW CREATE TABLE ${db}_more.orders;
-- createtab_stmt
-- CREATE EXTERNAL TABLE `${db}_more.orders`(
-- `o_orderkey` bigint,
-- `o_comment` string)
-- PARTITIONED BY (
-- `o_orderdate` string)
-- ROW FORMAT SERDE
-- 'org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe'
-- WITH SERDEPROPERTIES (
-- 'field.delim'=',')
-- STORED AS INPUTFORMAT
-- 'org.apache.hadoop.mapred.TextInputFormat'
-- OUTPUTFORMAT
-- 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'
-- LOCATION
-- 's3://${bucket}/more/orders2/'
-- TBLPROPERTIES (
-- 'EXTERNAL'='TRUE',
-- 'notes'='Please do not drop this table.',
-- 'skip.header.line.count'='1')

CREATE VIEW ${db}_more.big AS SELECT o_orderkey, o_comment FROM ${db}_more.orders WHERE o_orderkey > 5;  -- ok
CREATE VIEW ${db}_more.big AS SELECT 1 AS x;  -- ! ALREADY_EXISTS
CREATE OR REPLACE VIEW ${db}_more.big AS SELECT o_orderkey AS k FROM ${db}_more.orders;  -- ok
SHOW VIEWS IN ${db}_more;
-- views
-- big

SHOW CREATE VIEW ${db}_more.big;
-- Create View
-- CREATE VIEW "${db}_more"."big" AS
-- SELECT o_orderkey AS k FROM ${db}_more.orders

DESCRIBE ${db}_more.big;
-- col_name | data_type | comment
-- k | bigint

DESCRIBE VIEW ${db}_more.big;
-- col_name | data_type | comment
-- k | bigint

DROP TABLE ${db}_more.big;  -- ! FAILED: Execution Error
DROP VIEW ${db}_more.big;  -- ok
DROP VIEW IF EXISTS ${db}_more.big;  -- ok
DROP VIEW ${db}_more.big;  -- ! TABLE_NOT_FOUND
DROP DATABASE ${db}_more;  -- ! FAILED: Execution Error
DROP TABLE ${db}_more.orders;  -- ok
DROP TABLE IF EXISTS ${db}_more.orders;  -- ok
DROP TABLE ${db}_more.orders;  -- ! FAILED: SemanticException [Error 10001]: Table not found ${db}_more.orders
DROP DATABASE ${db}_more;  -- ok
DROP DATABASE IF EXISTS ${db}_more CASCADE;  -- ok

CREATE TABLE t (id int) LOCATION 's3://${bucket}/t/' TBLPROPERTIES ('table_type'='ICEBERG');  -- ! NOT_SUPPORTED: The local Athena does not support Iceberg tables
CREATE TABLE t (id int) LOCATION 's3://${bucket}/t/';  -- ! FAILED: ParseException
CREATE EXTERNAL TABLE t (id int) STORED AS ORC;  -- ! FAILED: SemanticException table location must be provided
CREATE EXTERNAL TABLE t (id int) CLUSTERED BY (id) INTO 4 BUCKETS STORED AS ORC LOCATION 's3://${bucket}/t/';  -- ! NOT_SUPPORTED: The local Athena does not support CLUSTERED BY
ALTER TABLE payments RENAME TO other;  -- ! NOT_SUPPORTED: The local Athena does not support ALTER TABLE RENAME
