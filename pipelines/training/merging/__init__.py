"""What merging a checkout does to an environment's workflows: planned, and what it starts."""
