"""What MLflow tells of its model registry, and how it is had to."""
