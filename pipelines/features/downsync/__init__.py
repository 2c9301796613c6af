"""The consumer of downsync: from the stream into tables of the offline store, exactly once."""
