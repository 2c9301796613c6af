"""Taking what Feast's own Redis store holds over into the packed online store."""
