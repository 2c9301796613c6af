"""The online store: Redis with TLS, a password, and nobody but its clients."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_elasticache as elasticache

from infra.stacks.network import REDIS_PORT, Network
from infra.stacks.profile import Profile
from mlops.names import Names

PARAMETERS = {
    # A store that evicts would answer 'unknown customer'; one that is full refuses the upsync.
    "maxmemory-policy": "noeviction",
    # Packed values of up to 256 bytes stay in compact hashes.
    "hash-max-listpack-value": "256",
}


class Cache(cdk.Stack):
    """The replication group, in the network's private subnets."""

    def __init__(
        self,
        scope: cdk.App,
        name: str,
        *,
        names: Names,
        profile: Profile,
        network: Network,
        env: cdk.Environment,
    ) -> None:
        super().__init__(
            scope,
            name,
            env=env,
            description="The online store",
            termination_protection=profile.keep_data,
        )
        group = self._replication_group(names, profile, network)
        self.url = _url(group, clustered=profile.cache_shards is not None)
        cdk.CfnOutput(self, "RedisUrl", value=self.url, description="Where clients connect")

    def _replication_group(
        self, names: Names, profile: Profile, network: Network
    ) -> elasticache.CfnReplicationGroup:
        group = elasticache.CfnReplicationGroup(
            self,
            "OnlineStore",
            replication_group_id=f"{names.prefix}-online",
            replication_group_description="Features, by entity",
            engine="redis",
            engine_version="7.1",
            cache_node_type=profile.cache_node,
            num_cache_clusters=None if profile.cache_shards else 1 + profile.cache_replicas,
            num_node_groups=profile.cache_shards,
            replicas_per_node_group=profile.cache_replicas if profile.cache_shards else None,
            automatic_failover_enabled=profile.highly_available,
            multi_az_enabled=profile.highly_available,
            port=REDIS_PORT,
            transit_encryption_enabled=True,
            transit_encryption_mode="required",
            at_rest_encryption_enabled=True,
            auth_token=cdk.SecretValue.secrets_manager(names.redis_secret).unsafe_unwrap(),
            cache_subnet_group_name=self._subnets(names, network).ref,
            cache_parameter_group_name=self._parameters(profile).ref,
            security_group_ids=[network.store],
            snapshot_retention_limit=profile.cache_snapshots,
            auto_minor_version_upgrade=True,
        )
        if profile.keep_data:
            group.apply_removal_policy(cdk.RemovalPolicy.SNAPSHOT)
        return group

    def _subnets(self, names: Names, network: Network) -> elasticache.CfnSubnetGroup:
        return elasticache.CfnSubnetGroup(
            self,
            "Subnets",
            cache_subnet_group_name=f"{names.prefix}-online",
            description="Private subnets of the online store",
            subnet_ids=network.subnets,
        )

    def _parameters(self, profile: Profile) -> elasticache.CfnParameterGroup:
        clustered = {} if profile.cache_shards is None else {"cluster-enabled": "yes"}
        return elasticache.CfnParameterGroup(
            self,
            "Parameters",
            cache_parameter_group_family="redis7",
            description="Never evict; keep packed rows compact",
            properties=PARAMETERS | clustered,
        )


def _url(group: elasticache.CfnReplicationGroup, *, clustered: bool) -> str:
    host, port = group.attr_primary_end_point_address, group.attr_primary_end_point_port
    if clustered:
        host = group.attr_configuration_end_point_address
        port = group.attr_configuration_end_point_port
    return cdk.Fn.join(
        "", ["rediss://", host, ":", port, "/0", "?cluster=true" if clustered else ""]
    )
