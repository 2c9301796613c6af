"""What the jobs of every service share: who they are, their processes, their logs and records.

A job is a subprocess of this environment's Python, never a container: images are named and never
pulled. It acts as its role, what it prints goes to CloudWatch Logs while it runs, and at most one
runs per core.
"""
