"""Model versions: their registry, their approval and its record."""
