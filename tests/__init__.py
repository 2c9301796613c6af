"""The tests, and the examples that they share."""
