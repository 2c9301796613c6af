"""The workflow `drift`: each night every model that is served is held against its training.

- `checking` looks at the models and says what is to be told, as values.
- `jobs` is the Batch job around it, `workflow` the state machine that tells what it found.

What was told is noted last, so that whatever is lost on the way is told by the next night's run.
"""
