"""The proxies that are set, and whether the cluster's API is reached through one."""

from __future__ import annotations

from collections.abc import Iterator

from dev.doctor.diagnosis import Diagnosis
from dev.doctor.facts import Facts


def diagnose(facts: Facts) -> Iterator[Diagnosis]:
    """One row, which only reports: what a proxy is to blame for is said of the cluster.

    This machine itself is never reached through a proxy by kubectl and Pulumi's plugins.
    """
    found = facts.proxies or "none are set"
    cluster = facts.cluster
    if cluster and cluster.server:
        found += f"; the API {cluster.server} is reached {f'through {cluster.proxy}' if cluster.proxy else 'directly'}"
    yield Diagnosis("proxies", "good", found)
