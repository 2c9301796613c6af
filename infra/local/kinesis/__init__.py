"""Kinesis Data Streams: shards that split and merge as on AWS, records that outlive a kill."""
