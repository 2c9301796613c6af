"""The MLflow server, as the platform runs it."""
