"""What runs inside the jobs of every model: evaluation and export."""

REGISTRATION = "registration.json"
"""What the export job hands to the registration: the package's metadata."""
