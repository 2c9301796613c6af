"""The CDK app: every stack of one environment, in the order in which they are deployed.

It runs in a process of its own (`python -m infra.app`), as the construct library takes seconds
to load; `infra.synth` starts it and keeps what it made.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import aws_cdk as cdk

from infra.stacks.foundation import Foundation
from infra.stacks.functions import Functions
from infra.stacks.identity import Identity
from infra.stacks.profile import profile_of
from infra.stacks.storage import Storage
from infra.synth import INDEX
from mlops.names import Names


def build(names: Names, out: Path) -> cdk.App:
    """The app with its stacks; the order is that of deployment."""
    profile = profile_of(names.env)
    app = cdk.App(
        outdir=str(out),
        analytics_reporting=False,
        tree_metadata=False,
        context={"aws:cdk:disable-path-metadata": True},
        default_stack_synthesizer=cdk.LegacyStackSynthesizer(),
    )
    env = cdk.Environment(account=names.account, region=names.region)
    Foundation(app, f"{names.prefix}-foundation", names=names, profile=profile, env=env)
    Identity(app, f"{names.prefix}-identity", names=names, env=env)
    Functions(app, f"{names.prefix}-functions", names=names, profile=profile, env=env)
    Storage(app, f"{names.prefix}-storage", names=names, profile=profile, env=env)
    cdk.Tags.of(app).add("project", names.project)
    cdk.Tags.of(app).add("environment", names.env)
    return app


def synthesize(names: Names, out: Path) -> None:
    """Write a template per stack, and the index that orders them."""
    app = build(names, out)
    stacks = [node for node in app.node.children if isinstance(node, cdk.Stack)]
    app.synth()
    index = [
        {
            "name": stack.stack_name,
            "template": stack.template_file,
            "protected": bool(stack.termination_protection),
        }
        for stack in stacks
    ]
    (out / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("project", "env", "account", "region"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    names = Names(project=asked.project, env=asked.env, account=asked.account, region=asked.region)
    synthesize(names, asked.out)


if __name__ == "__main__":
    main()
