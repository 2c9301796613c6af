"""Upsync: from the offline store into the online store, by the platform's clock.

A run brings one view from one state of the world to another: from what was published by the last
run's clock, of the rows that readers saw then, to what is published now. It reads only what lies
between the two:

- `changes` decides what that is; `statements` writes it as SQL.
- `staging` has Athena unload it once, by shards of the keys' hash, and plans the run.
- `loading` writes a shard, newest wins, noting how far it came.
- `running` puts these together for one view, and goes on with what a killed run left.
- `jobs` does the same as Batch jobs, `workflow` is the state machine over them.

Everything that a run must remember is a document in S3 (`state`), changed by conditional writes.
The rows that vanish by a rebuild, or by a clock that goes back, are taken out only where they are
still the rows that were loaded: what was pushed meanwhile stays.
"""
