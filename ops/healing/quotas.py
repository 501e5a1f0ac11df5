"""A quota that counts claims which were never made.

The API server counts a claim before it makes it. Where that then fails (the claim exists already,
as after a killed run), the count stays until the quota controller looks at everything again, which
is every five minutes (kube-controller-manager, --resource-quota-sync-period), and a quota that is
exactly as large as its claims refuses the next one meanwhile.
"""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from components.kube import labels
from components.kube.api import KubeApi
from components.kube.errors import ApiError
from ops.console import say

_ENDING = ".storageclass.storage.k8s.io/persistentvolumeclaims"
_COUNTED_WITHIN = 10.0  # seconds in which the controller answers to a changed quota; it takes well under one


def recount(api: KubeApi, namespace: str, stack: str) -> None:
    """Have every quota of `stack` counted anew that counts more claims than there are.

    The controller does so at once when a quota's limits change: they are raised by one claim for a
    moment, and put back. Who may not do that goes on; the count is right after five minutes at the
    latest.
    """
    where = f"/api/v1/namespaces/{namespace}"
    try:
        quotas = api.items(f"{where}/resourcequotas?labelSelector={labels.selector_of_stack(stack)}")
        if not quotas:
            return
        there = Counter(claim["spec"].get("storageClassName") for claim in api.items(f"{where}/persistentvolumeclaims"))
        for quota in quotas:
            name, limits = quota["metadata"]["name"], quota["spec"].get("hard") or {}
            used = quota.get("status", {}).get("used") or {}
            for key, limit in limits.items():
                if key.endswith(_ENDING) and int(used.get(key, 0)) > there[key.removesuffix(_ENDING)]:
                    _set(api, f"{where}/resourcequotas/{name}", key, str(int(limit) + 1))
                    _set(api, f"{where}/resourcequotas/{name}", key, limit)
                    say(f"Had Kubernetes count the claims of quota {name} again: it counted some that were never made.")
    except ApiError as problem:
        if problem.status not in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
            raise


def _set(api: KubeApi, path: str, key: str, limit: str) -> None:
    """Set a limit, and wait until the controller has counted with it."""
    api.patch(path, {"spec": {"hard": {key: limit}}})
    counted = Retrying(retry=retry_if_result(lambda seen: seen != limit), stop=stop_after_delay(_COUNTED_WITHIN), wait=wait_fixed(0.1))
    try:
        counted(lambda: (api.get(path).get("status", {}).get("hard") or {}).get(key))
    except RetryError:
        name = path.rpartition("/")[2]
        say(f"Quota {name} was not counted within {_COUNTED_WITHIN:.0f} s: is the controller manager running?")
