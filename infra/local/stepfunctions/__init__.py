"""What moto's Step Functions is taught: tasks that run jobs, errors as AWS has them, roles.

`tasks.install(endpoint)` puts everything in.
"""
