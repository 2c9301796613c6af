"""SageMaker inside the local AWS: jobs as subprocesses, the model registry, Step Functions tasks.

- `service.SageMakerJobs` answers `service.OPERATIONS` (JSON protocol): training and processing
  jobs, model package groups and model packages. What it keeps survives a restart by itself.
- `tasks.SageMakerTask` is `sagemaker:createTrainingJob[.sync]` and
  `sagemaker:createProcessingJob[.sync]` in moto's Step Functions interpreter.

A job gets the container contract, without a container: the image is named and never pulled,
`/opt/ml` is a folder of its own whose path stands in SAGEMAKER_BASE_DIR, and `python3` is the
Python of this environment.
"""
