"""Saving and restoring the online store and the registry, for the day when both are gone.

A backup is a folder in the data bucket: files of keys, the registry's documents, and a manifest
that is written last and bears every checksum. What has no manifest is no backup.
"""
