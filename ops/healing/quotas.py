"""A quota that counts claims which were never made.

The API server counts a claim before it makes it. Where that then fails (the claim exists already, as after a killed run), the count
stays until the quota controller looks at everything again, which is every five minutes (kube-controller-manager,
--resource-quota-sync-period), and a quota that is exactly as large as its claims refuses the next one meanwhile.
"""

from __future__ import annotations

from collections import Counter

from kubernetes.client.exceptions import ApiException
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from components.kube import labels
from ops.cluster import Cluster
from ops.console import say

_ENDING = ".storageclass.storage.k8s.io/persistentvolumeclaims"
_COUNTED_WITHIN = 10.0  # seconds in which the controller answers to a changed quota; it takes well under one


def recount(cluster: Cluster, namespace: str, stack: str) -> None:
    """Have every quota of `stack` counted anew that counts more claims than there are.

    The controller does so at once when a quota's limits change: they are raised by one claim for a moment, and put back. Who may not
    do that goes on; the count is right after five minutes at the latest.
    """
    try:
        quotas = cluster.call(cluster.core.list_namespaced_resource_quota, namespace, label_selector=labels.selector_of_stack(stack)).items
        if not quotas:
            return
        claims = cluster.call(cluster.core.list_namespaced_persistent_volume_claim, namespace).items
        there = Counter(claim.spec.storage_class_name for claim in claims)
        for quota in quotas:
            limits, used = quota.spec.hard or {}, quota.status.used or {}
            for key in limits:
                if key.endswith(_ENDING) and int(used.get(key, 0)) > there[key.removesuffix(_ENDING)]:
                    _set(cluster, namespace, quota.metadata.name, key, str(int(limits[key]) + 1))
                    _set(cluster, namespace, quota.metadata.name, key, limits[key])
                    say(f"Had Kubernetes count the claims of quota {quota.metadata.name} again: it counted some that were never made.")
    except ApiException as problem:
        if problem.status not in (403, 404):
            raise


def _set(cluster: Cluster, namespace: str, name: str, key: str, limit: str) -> None:
    """Set a limit, and wait until the controller has counted with it."""
    core = cluster.core
    cluster.call(core.patch_namespaced_resource_quota, name, namespace, {"spec": {"hard": {key: limit}}})
    counted = Retrying(retry=retry_if_result(lambda seen: seen != limit), stop=stop_after_delay(_COUNTED_WITHIN), wait=wait_fixed(0.1))
    try:
        counted(lambda: (cluster.call(core.read_namespaced_resource_quota, name, namespace).status.hard or {}).get(key))
    except RetryError:
        say(f"Quota {name} was not counted within {_COUNTED_WITHIN:.0f} s: is the controller manager running?")
