"""What starts workflows by themselves: rules of EventBridge, and the workflow that they start.

A rule cannot name the execution that it starts, and may deliver an event twice. So rules start the
workflow `start`, which starts the model's own under a name that the event decides: an event that
comes twice, or the tenth one of a day, finds that name taken (ADR 22).
"""
