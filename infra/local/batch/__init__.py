"""AWS Batch inside the local AWS: queues, job definitions, and jobs as subprocesses.

- `service.Batch` answers Batch's REST API; what it keeps survives a restart by itself.
- `tasks.BatchTask` is `batch:submitJob[.sync]` in moto's Step Functions interpreter.
- `stacks.install(batch)` lets CloudFormation make `AWS::Batch::*`, by these same operations.

A job's command runs in this environment, in an empty folder of its own, as its job role. Compute
environments of Fargate are accepted and not acted on: what limits jobs is this machine's cores.
"""
