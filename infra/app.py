"""The CDK app: every stack of one environment, in the order in which they are deployed.

It runs in a process of its own (`python -m infra.app`), as the construct library takes seconds
to load; `infra.synth` starts it and keeps what it made.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aws_cdk as cdk

from infra.stacks.cache import Cache
from infra.stacks.delivery import ADMINISTERED, deployed_by
from infra.stacks.foundation import Foundation
from infra.stacks.functions import Functions
from infra.stacks.identity import ACTORS, SERVICES, Identity
from infra.stacks.images import Images
from infra.stacks.jobs import Jobs
from infra.stacks.network import Network
from infra.stacks.profile import Profile, profile_of
from infra.stacks.storage import Storage
from infra.synth import INDEX
from mlops.names import Names

if TYPE_CHECKING:
    from infra.stacks.services import Services


def build(app: cdk.App, names: Names, profile: Profile) -> dict[str, cdk.Stack]:
    """The stacks by purpose, in the order of deployment."""
    env = cdk.Environment(account=names.account, region=names.region)
    stacks: dict[str, cdk.Stack] = {
        purpose: Identity(app, f"{names.prefix}-{purpose}", names=names, roles=roles, env=env)
        for purpose, roles in (("identity", ACTORS), ("service-identity", SERVICES))
    }
    stacks["foundation"] = Foundation(
        app, f"{names.prefix}-foundation", names=names, profile=profile, env=env
    )
    network = Network(app, f"{names.prefix}-network", names=names, profile=profile, env=env)
    stacks["network"] = network
    stacks["images"] = Images(app, f"{names.prefix}-images", names=names, profile=profile, env=env)
    if profile.cache_node is not None:
        cache = Cache(
            app, f"{names.prefix}-cache", names=names, profile=profile, network=network, env=env
        )
        stacks["cache"] = cache
    for purpose, kind in (("functions", Functions), ("jobs", Jobs)):
        stacks[purpose] = kind(
            app,
            f"{names.prefix}-{purpose}",
            names=names,
            profile=profile,
            network=network,
            env=env,
        )
    stacks["storage"] = Storage(
        app, f"{names.prefix}-storage", names=names, profile=profile, env=env
    )
    if profile.cache_node is not None and profile.tasks is not None:
        stacks |= _serving(app, names, profile, network, cache.url)
    return stacks


def _serving(
    app: cdk.App, names: Names, profile: Profile, network: Network, redis_url: str
) -> dict[str, cdk.Stack]:
    """What runs all the time, and what watches it; on a laptop they are processes.

    The construct library takes seconds for each of these services, which a laptop can do without.
    """
    from infra.stacks.budget import Budget
    from infra.stacks.flows import Flows
    from infra.stacks.services import Services

    env = cdk.Environment(account=names.account, region=names.region)
    services = Services(
        app,
        f"{names.prefix}-services",
        names=names,
        profile=profile,
        network=network,
        redis_url=redis_url,
        env=env,
    )
    stacks: dict[str, cdk.Stack] = {"services": services}
    if profile.mlflow_database is not None:
        stacks |= _tracking(app, names, profile, network, services)
    stacks |= _tending(app, names, profile, services)
    stacks["flows"] = Flows(
        app, f"{names.prefix}-flows", names=names, profile=profile, network=network, env=env
    )
    if profile.monthly_budget is not None:
        dollars = profile.monthly_budget
        stacks["budget"] = Budget(
            app, f"{names.prefix}-budget", names=names, dollars=dollars, env=env
        )
    return stacks


def _tending(
    app: cdk.App, names: Names, profile: Profile, services: Services
) -> dict[str, cdk.Stack]:
    """What changes the services' size, and what tells of them."""
    from infra.stacks.scaling import Scaling
    from infra.stacks.watch import Watch

    kinds = {"scaling": Scaling, "watch": Watch}
    return _by_purpose(app, names, kinds, profile=profile, services=services)


def _tracking(
    app: cdk.App, names: Names, profile: Profile, network: Network, services: Services
) -> dict[str, cdk.Stack]:
    """The MLflow server after what it keeps, which outlives it."""
    from infra.stacks.mlflow import Mlflow
    from infra.stacks.mlflow_data import MlflowData

    kinds = {"mlflow-data": MlflowData, "mlflow": Mlflow}
    given = {"profile": profile, "network": network, "services": services}
    return _by_purpose(app, names, kinds, **given)


def _by_purpose(
    app: cdk.App, names: Names, kinds: Mapping[str, Callable[..., cdk.Stack]], **given: Any
) -> dict[str, cdk.Stack]:
    """A stack of each kind, made in order with what all of them are given."""
    env = cdk.Environment(account=names.account, region=names.region)
    return {
        purpose: kind(app, f"{names.prefix}-{purpose}", names=names, env=env, **given)
        for purpose, kind in kinds.items()
    }


def synthesize(names: Names, out: Path) -> None:
    """Write a template per stack, and the index that orders them."""
    app = cdk.App(
        outdir=str(out),
        analytics_reporting=False,
        tree_metadata=False,
        context={"aws:cdk:disable-path-metadata": True},
        default_stack_synthesizer=cdk.LegacyStackSynthesizer(),
    )
    stacks = build(app, names, profile_of(names.env))
    cdk.Tags.of(app).add("project", names.project)
    cdk.Tags.of(app).add("environment", names.env)
    app.synth()
    index = [
        {
            "name": stack.stack_name,
            "template": stack.template_file,
            "protected": bool(stack.termination_protection),
            "administered": purpose in ADMINISTERED,
            "role": deployed_by(purpose).value,
        }
        for purpose, stack in stacks.items()
    ]
    (out / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("project", "env", "account", "region"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = vars(parser.parse_args())
    out = asked.pop("out")
    synthesize(Names(**asked), out)


if __name__ == "__main__":
    main()
