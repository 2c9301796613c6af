"""What runs inside the jobs of every model: evaluation and export."""

REGISTRATION = "registration.json"
"""What the export job hands to the registration: the package's metadata."""
COMPARISON = "comparison.json"
"""What the export job lets people be told of the version: lines beside the approved one's."""
PACKAGE = "package.json"
"""What the register job hands back: the name of the version."""
