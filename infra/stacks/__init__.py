"""The platform's CloudFormation stacks, one per lifetime, as CDK constructs."""
