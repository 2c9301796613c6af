"""The shared kernel of the platform: what every job, service and command builds on."""

from mlops import typechecks

typechecks.defer()
