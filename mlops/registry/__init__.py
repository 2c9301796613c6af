"""Model versions, the approval record, and who may decide."""
