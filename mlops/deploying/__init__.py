"""Changing what endpoints serve: strategies, figures and verdicts, moves, and their record."""
