"""Downsync: what was served and pushed online, on its way to the offline store."""
