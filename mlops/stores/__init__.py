"""The platform's ways to its feature stores."""
