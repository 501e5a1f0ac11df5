"""Removal of what canaries have made: at a run's end, before the next, and for `pulumi destroy`.

Nothing is deleted that isn't the canary's own. A pod or claim must carry its labels in its
namespace; a volume must be its own besides (see volumes.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from components.canary import objects
from components.canary.manifests import CLAIM_UID, RUN, selector
from components.canary.volumes import belongs, claim_uid, hand_over, made_for, tier_of
from components.canary.words import NotProven
from components.kube import labels
from components.kube.api import Json, KubeApi

SETTLING = 10  # seconds that a volume which is being made has to come, before its claim is deleted


@dataclass(frozen=True)
class SweepScope:
    """What is removed: that of all canaries of a stack (`instance`), of one tier's, or of one run.

    An empty `storage_class` stands for the one that each claim or volume names.
    """

    namespace: str
    instance: str
    tier: str = ""
    storage_class: str = ""
    run: str = ""

    @property
    def selector(self) -> str:
        """The label selector of pods and claims."""
        return selector(self.instance, self.tier) + (f",{RUN}={self.run}" if self.run else "")


def sweep(api: KubeApi, scope: SweepScope, say: Callable[[str], None], *, timeout: float = 60) -> None:
    """Delete pods, claims and volumes of the canary, and wait until they are gone.

    Raises NotProven with what is left after `timeout` seconds, and ApiError. With 0 it doesn't
    wait; then a claim whose volume is just being made is left for the next run.
    """
    pods = api.items(objects.namespaced(scope.namespace, "pods", selector=scope.selector))
    claims = api.items(objects.namespaced(scope.namespace, "persistentvolumeclaims", selector=scope.selector))
    orphans = [] if scope.run else _volumes_without_claim(api, scope, claims)
    if not scope.run and (pods or claims or orphans):
        say(f"removing what an earlier run has left: {len(pods)} pods, {len(claims)} claims, {len(orphans)} volumes without a claim")
    for pod in pods:
        api.delete(objects.namespaced(scope.namespace, "pods", pod["metadata"]["name"]), uid=pod["metadata"]["uid"], grace=0)
    claims, unsettled = _settle(api, claims, min(timeout, SETTLING) or 1)
    if unsettled and not timeout:  # without its claim nobody would know whose the volume is
        say(f"left for the next run, because a volume is being made for it: {', '.join(each['metadata']['name'] for each in unsettled)}")
        claims = [each for each in claims if each not in unsettled]
    volumes = _volumes_of(api, scope, claims) + orphans
    for volume in volumes:
        if volume["spec"].get("persistentVolumeReclaimPolicy") != "Delete":
            hand_over(api, volume, scope.instance, tier_of(volume, claims))
    for claim in claims:
        api.delete(_path(claim), uid=claim["metadata"]["uid"])
    if timeout:
        present = {f"persistentvolumeclaim/{each['metadata']['name']}": _path(each) for each in claims}
        present |= {f"persistentvolume/{each['metadata']['name']}": objects.volume(each["metadata"]["name"]) for each in volumes}
        _wait_until_gone(api, present, timeout)


def _path(claim: Json) -> str:
    return objects.namespaced(claim["metadata"]["namespace"], "persistentvolumeclaims", claim["metadata"]["name"])


def _volumes_without_claim(api: KubeApi, scope: SweepScope, claims: Sequence[Json]) -> list[Json]:
    """Volumes whose claim is gone already. They were marked while they were bound to it."""
    present = {each["metadata"]["uid"] for each in claims}
    marked = api.items(objects.volume(selector=selector(scope.instance, scope.tier)))
    return [
        volume
        for volume in marked
        if belongs(
            volume,
            scope.namespace,
            scope.storage_class or volume["spec"].get("storageClassName", ""),
            {labels.of(volume).get(CLAIM_UID, "")},
        )
        and claim_uid(volume) not in present
    ]


def _volumes_of(api: KubeApi, scope: SweepScope, claims: Sequence[Json]) -> list[Json]:
    """The canary's own volumes that are bound to these claims."""
    found = []
    for claim in claims:
        name = claim["spec"].get("volumeName")
        volume = api.find(objects.volume(name)) if name else None
        storage_class = scope.storage_class or claim["spec"].get("storageClassName", "")
        if volume and belongs(volume, scope.namespace, storage_class, {claim["metadata"]["uid"]}) and made_for(volume, claim):
            found.append(volume)
    return found


def _settle(api: KubeApi, claims: Sequence[Json], seconds: float) -> tuple[list[Json], list[Json]]:
    """The claims as they are now, and those of them for which a volume is still being made.

    Waits at most `seconds` until there are none of the latter. A claim that is deleted while its
    volume is being made leaves that volume behind, with nothing that says whose it is.
    """
    end = time.monotonic() + seconds
    while True:
        found = [(claim, api.find(_path(claim))) for claim in claims]
        present = [now for claim, now in found if now and now["metadata"]["uid"] == claim["metadata"]["uid"]]
        unsettled = [
            each
            for each in present
            if each["status"].get("phase") == "Pending"
            and "volume.kubernetes.io/storage-provisioner" in (each["metadata"].get("annotations") or {})
        ]
        if not unsettled or time.monotonic() > end:
            return present, unsettled
        time.sleep(objects.POLL)


def _wait_until_gone(api: KubeApi, present: dict[str, str], timeout: float) -> None:
    """Wait until no object is there. `present` has their names in the message, and their paths.

    Raises NotProven after `timeout` seconds.
    """
    end = time.monotonic() + timeout
    while True:
        present = {name: path for name, path in present.items() if api.find(path)}
        if not present:
            return
        if time.monotonic() > end:
            raise NotProven(f"still there after {timeout:.0f} s: {', '.join(present)}", "Is the provisioner running?")
        time.sleep(objects.POLL)
