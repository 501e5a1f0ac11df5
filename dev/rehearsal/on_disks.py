"""What a rehearsal does where the volumes are real disks: what waits in a cloud, and what no folder
of a machine can show."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from components.kube import labels
from components.kube.api import Json, KubeApi
from components.kube.attributes import PATH as ATTRIBUTES_CLASSES
from components.kube.quantity import GI, bytes_of
from components.provisioners.base import SNAPSHOT_API, TierParameters
from components.settings import Settings
from dev.rehearsal.cluster import Disks
from dev.rehearsal.consumers import PATIENCE, Consumers, comes_true, is_ready, pod_on
from devkube.cluster import EmbeddedCluster, csi
from devkube.cluster.node import ZONE
from ops.console import step
from ops.errors import UserError
from review.program_copy import ProgramCopy

_LOST = "node.kubernetes.io/out-of-service"
# What an attributes class changes of a disk's type, and what every disk of it has, in MiB/s.
_FASTER = {"gp3": ("throughput", 125), "hyperdisk-balanced": ("throughput", 140)}
_STEP = 25  # MiB/s
_MOST_THROUGHPUT = 750  # MiB/s with 3000 IOPS, which every such disk of 6 GiB can have (EBS and Hyperdisk: a quarter of the IOPS)


@dataclass
class OnDisks:
    """The steps of one rehearsal, in the order of the methods. Each raises UserError with what is
    not as it has to be.

    `hashes` are what the consumers have of their data.
    """

    program: ProgramCopy
    api: KubeApi
    kubectl: list[str]
    settings: Settings
    cluster: EmbeddedCluster
    disks: Disks
    consumers: Consumers
    hashes: dict[str, str] = field(default_factory=dict)

    def use(self, hashes: dict[str, str]) -> dict[str, str]:
        """All that is done while pods use the volumes, on which they have data with these hashes.

        Returns the hashes of the data that they have in the end.
        """
        self.hashes = hashes
        self.fill()
        self.change()
        self.move()
        return self.hashes

    def look_at_places(self, outputs: dict[str, Any]) -> str:
        """Whether every zone of every tier is proven, and the pods are spread over them."""
        for tier, verdict in outputs["canary"].items():
            not_proven = [place["zone"] for place in verdict.get("places", []) if place["verdict"] != "proven"]
            if not_proven:
                raise UserError(f"tier {tier} is not proven in {', '.join(not_proven)}.")
        zones = {node["metadata"]["name"]: labels.of(node).get(ZONE, "") for node in self.api.items("/api/v1/nodes")}
        pods = {name: zones[pod["spec"]["nodeName"]] for name, pod in self.consumers.found().items()}
        told = []
        for service, claims in self.consumers.claims.items():
            used = {pods[f"{service}-{ordinal}"] for ordinal in range(len(claims))}
            wanted = min(len(claims), len(self.consumers.zones[service]))
            if len(used) != wanted:
                raise UserError(f"the {len(claims)} pods of {service} are in {', '.join(sorted(used))}, and not in {wanted} zones.")
            told.append(f"{service} in {', '.join(sorted(used))}")
        return "; ".join(told)

    def fill(self) -> None:
        """Fill a volume of each service, and go on with it."""
        with step("a volume of each service filled to the last byte") as shown:
            told = []
            for service, claims in self.consumers.claims.items():
                pod = f"{service}-0"
                size, said = self.consumers.fill(pod)
                if "No space left on device" not in said:
                    raise UserError(f"pod {pod} wrote {size} bytes on its volume of {claims[0]['provisioned']}, and then was told: {said}")
                told.append(f"{service}: {size / GI:.2f} GiB of {claims[0]['provisioned']}")
            self._same_data()
            self.hashes = self.consumers.write()
            shown.detail = f"{', '.join(told)}, then `No space left on device`; the data is whole, and freed space is written again"

    def change(self) -> None:
        """One `pulumi up` with all changes to the settings, while the volumes are in use."""
        changes = self.changes()
        with step("an up with larger sizes, another class, snapshots and attributes, in use", estimate=60) as shown:
            before = {pod: self.consumers.file_system(pod) for pod in self.consumers.pods}
            claims = self.consumers.volumes()
            self.program.override(changes)
            self.program.ask("up", "--yes", "--skip-preview")
            if self.consumers.volumes() != claims:
                raise UserError("claims have other volumes after a change of their class.")
            shown.detail = ", ".join(f"{key}: {value if isinstance(value, str) else json.dumps(value)}" for key, value in changes.items())
        self._restore()
        self._grow(before)
        self._attributes(changes)

    def changes(self) -> dict[str, Any]:
        """What changes in the settings, by their paths."""
        first, last = next(iter(self.settings.services)), list(self.settings.services)[-1]
        tier = self.settings.services[last].tier
        options = list(self.settings.provisioner.storage_class(self.settings.tiers[tier].parameters).mount_options)
        made: dict[str, Any] = {"protect": False}
        made |= {
            f"services.{name}.size": f"{-(-service.size.provisioned_bytes // GI) + 1}Gi" for name, service in self.settings.services.items()
        }
        made[f"services.{first}.restores"] = 1
        made[f"tiers.{tier}.mountOptions"] = [*options, "nosuid" if "nodev" in options else "nodev"]
        if self.settings.provisioner.snapshot_class(self._parameters(first)) is None:
            made[f"tiers.{self.settings.services[first].tier}.snapshots"] = {}
        service = self._faster_service()
        if service:
            what, least = _FASTER[getattr(self._parameters(service), "type", "")]
            value = max(int(getattr(self._parameters(service), what, None) or 0), least)
            changed = value + _STEP if value + _STEP <= _MOST_THROUGHPUT else value - _STEP
            made[f"tiers.{self.settings.services[service].tier}.attributes"] = {"rehearsed": {what: changed}}
        return made

    def _parameters(self, service: str) -> TierParameters:
        return self.settings.tiers[self.settings.services[service].tier].parameters

    def _faster_service(self) -> str:
        """The first service whose disks can be changed in use; empty where none can."""
        return next((name for name in self.settings.services if getattr(self._parameters(name), "type", "") in _FASTER), "")

    def _restore(self) -> None:
        """A snapshot of a volume in use, and a claim of its own made from it."""
        service = next(iter(self.consumers.claims))
        claim, namespace = self.consumers.claims[service][0], self.consumers.namespace
        with step(f"a snapshot of {claim['name']} in use, restored into a new claim") as shown:
            snapshots = f"/apis/{SNAPSHOT_API}/namespaces/{namespace}/volumesnapshots"
            core = f"/api/v1/namespaces/{namespace}"
            name = f"restored-{service}-0"
            self.api.create(snapshots, _snapshot(name, claim))
            self._until(lambda: _usable(self.api.get(f"{snapshots}/{name}")), f"the snapshot {name} is not ready")
            size = self.api.get(f"{snapshots}/{name}")["status"]["restoreSize"]
            self.api.create(f"{core}/persistentvolumeclaims", _restored(name, claim, size))
            self.api.create(f"{core}/pods", pod_on(name))
            self._until(lambda: is_ready(self.api.get(f"{core}/pods/{name}")), f"the pod {name} is not ready")
            if self.consumers.read_one(name) != self.hashes[f"{service}-0"]:
                raise UserError(f"the claim {name} doesn't hold what {claim['name']} held when the snapshot was taken.")
            for path in (f"{core}/pods/{name}", f"{core}/persistentvolumeclaims/{name}", f"{snapshots}/{name}"):
                self.api.delete(path)
            self._until(partial(self._is_gone, f"{core}/persistentvolumeclaims/{name}"), f"the claim {name} is not gone")
            shown.detail = f"{size}, every byte equal"

    def _grow(self, before: dict[str, int]) -> None:
        """Wait until each file system has what its claim asks for now."""
        with step("growth: until the file systems have it", estimate=30) as shown:
            told = []
            for service, claims in self.consumers.claims.items():
                pods = [f"{service}-{ordinal}" for ordinal in range(len(claims))]
                mounted = csi.grows_ext4_mounted() or not self.consumers.file_system_type(pods[0]).startswith("ext")
                if not mounted:
                    self._until(partial(self._has_size, service, "volume"), f"volumes of {service} have not grown")
                    for pod in pods:
                        self.consumers.restart(pod)
                self._until(partial(self._has_size, service, "claim"), f"claims of {service} have not grown")
                grown = {pod: self.consumers.file_system(pod) for pod in pods}
                small = [pod for pod in pods if grown[pod] < before[pod] + GI // 2]
                if small:
                    raise UserError(f"the claims of {', '.join(small)} have grown, and their file systems have not.")
                how = "while mounted" if mounted else "when its pods were made anew"
                told.append(f"{service} from {before[pods[0]] / GI:.1f} to {grown[pods[0]] / GI:.1f} GiB, {how}")
            self._same_data()
            shown.detail = "; ".join(told)

    def _has_size(self, service: str, kind: str) -> bool:
        """Whether every claim of a service, or every volume, has what the claim asks for."""
        claims = self.consumers.claims_there()
        for each in self.consumers.claims[service]:
            claim = claims[each["name"]]
            of = claim if kind == "claim" else self.api.get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
            has = of["status"]["capacity"] if kind == "claim" else of["spec"]["capacity"]
            if bytes_of(has["storage"]) < bytes_of(claim["spec"]["resources"]["requests"]["storage"]):
                return False
        return True

    def _attributes(self, changes: dict[str, Any]) -> None:
        """Change a disk in use by a VolumeAttributesClass, where its type can be."""
        service = self._faster_service()
        if not service:
            return
        claim = self.consumers.claims[service][0]["name"]
        wanted = next(value for key, value in changes.items() if key.endswith(".attributes"))["rehearsed"]
        with step(f"attributes of {claim} changed in use") as shown:
            tier = self.settings.services[service].tier
            found = [
                each["metadata"]["name"]
                for each in self.api.items(ATTRIBUTES_CLASSES)
                if labels.of(each).get(labels.COMPONENT) == tier and "-rehearsed-" in each["metadata"]["name"]
            ]
            path = f"/api/v1/namespaces/{self.consumers.namespace}/persistentvolumeclaims/{claim}"
            self.api.patch(path, {"spec": {"volumeAttributesClassName": found[0]}})
            self._until(
                lambda: self.api.get(path)["status"].get("currentVolumeAttributesClassName") == found[0],
                f"the claim {claim} does not have the attributes class {found[0]}",
            )
            shown.detail = f"{', '.join(f'{key} {value}' for key, value in wanted.items())}: {found[0]}"

    def move(self) -> None:
        """A pod goes to the other node of its zone: first as by a drain, then because the node is
        lost."""
        zone = self.disks.zones[0]
        inside = [node["metadata"]["name"] for node in self.api.items("/api/v1/nodes") if labels.of(node).get(ZONE) == zone]
        places = {name: pod["spec"]["nodeName"] for name, pod in self.consumers.found().items()}
        pod = next((name for name, node in places.items() if node in inside), "")
        if not pod or len(inside) < 2:
            return
        home, other = places[pod], next(name for name in inside if name != places[pod])
        with step(f"{pod} goes to the other node of {zone}") as shown:
            self._ask("cordon", home)
            self.consumers.restart(pod)
            self._ask("uncordon", home)
            self._is_on(pod, other)
            shown.detail = f"from {home} to {other}, every byte equal"
        with step(f"{other} is lost: {pod} comes back with its volume on {home}", estimate=45) as shown:
            lost = [each["metadata"]["uid"] for each in self.consumers.found().values() if each["spec"]["nodeName"] == other]
            self.cluster.kill_node(other)
            self._until(lambda: not is_ready(self.api.get(f"/api/v1/nodes/{other}")), f"the node {other} still counts as ready")
            # As the documentation of Kubernetes asks of an operator who knows that the node is off.
            self._ask("taint", "node", other, f"{_LOST}=nodeshutdown:NoExecute")
            self.consumers.wait_until_ready(lost)
            self._is_on(pod, home)
            self.cluster.start_node(other)
            self._ask("taint", "node", other, f"{_LOST}-")
            shown.detail = "detached and attached again, every byte equal"

    def _is_on(self, pod: str, node: str) -> None:
        found = self.consumers.found()[pod]["spec"]["nodeName"]
        if found != node:
            raise UserError(f"pod {pod} is on {found}, where it had to be on {node}.")
        self._same_data()

    def forget(self) -> str:
        """Delete the objects of half of the volumes, as a cluster that has forgotten them, and name
        their disks in the settings.

        What was done, in words.
        """
        claims = [(service, ordinal) for service, each in self.consumers.claims.items() for ordinal in range(len(each))]
        forgotten: dict[str, dict[str, str]] = {}
        number = 0
        for volume in self.api.items("/api/v1/persistentvolumes"):
            spec = volume["spec"]
            handle, zones = spec.get("csi", {}).get("volumeHandle", ""), _zones(spec)
            claim = next((each for each in claims[len(claims) // 2 :] if spec["claimRef"]["name"] == f"data-{each[0]}-{each[1]}"), None)
            # A regional disk's handle doesn't say its zones.
            if claim is None or "/regions/" in handle or not zones:
                continue
            named = f"aws://{zones[0]}/{handle}" if handle.startswith("vol-") else handle
            forgotten.setdefault(claim[0], {})[str(claim[1])] = f"{named}@{spec['capacity']['storage']}"
            path = f"/api/v1/persistentvolumes/{volume['metadata']['name']}"
            self.api.delete(path)
            self._until(partial(self._is_gone, path), f"{path} is not gone")
            number += 1
        # Every zone was proven before. One canary of each tier shows that it takes no old volume.
        changes: dict[str, Any] = {f"adopt.{service}": choices for service, choices in forgotten.items()}
        self.program.override({**changes, "canary.spread": "none"})
        return f"{len(claims) - number} Released volumes, {number} by the handles of their disks"

    def purge(self) -> None:
        """Delete the cluster, and look for what it may have left."""
        with step("purge: the cluster, its disks, and what is left of them is looked for") as shown:
            held = [line for line in self.cluster.contents() if line.startswith(("volume ", "snapshot "))]
            self.cluster.delete()
            left = self.cluster.left_behind()
            if left:
                raise UserError("the cluster is deleted, and this is left of it:\n" + "\n".join(f"  {line}" for line in left))
            shown.detail = f"{len(held)} disks and snapshots deleted; no loop device, mount or file is left"

    def _same_data(self) -> None:
        found = self.consumers.read()
        changed = [pod for pod, written in self.hashes.items() if found.get(pod) != written]
        if changed:
            raise UserError(f"the data of {', '.join(changed)} is not what was written.")

    def _is_gone(self, path: str) -> bool:
        return self.api.find(path) is None

    def _ask(self, *arguments: str) -> None:
        done = subprocess.run([*self.kubectl, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise UserError(f"`kubectl {' '.join(arguments)}` failed: {done.stderr.strip()}")

    def _until(self, wanted: Callable[[], object], problem: str) -> None:
        """Wait until something is so. Raises UserError with the `problem` and the last events."""
        if not comes_true(wanted):
            events = self.api.items(f"/api/v1/namespaces/{self.consumers.namespace}/events")
            said = [f"  {each.get('reason')} {each['involvedObject'].get('name')}: {each.get('message')}" for each in events[-5:]]
            raise UserError("\n".join([f"after {PATIENCE} s {problem}. The last events:", *said]))


def _zones(spec: Json) -> list[str]:
    """The zones where a volume is."""
    terms = spec.get("nodeAffinity", {}).get("required", {}).get("nodeSelectorTerms", [])
    return [zone for term in terms for each in term.get("matchExpressions", []) if each["key"].endswith("/zone") for zone in each["values"]]


def _usable(snapshot: Json) -> bool:
    return bool(snapshot.get("status", {}).get("readyToUse"))


def _snapshot(name: str, claim: dict[str, str]) -> Json:
    return {
        "apiVersion": SNAPSHOT_API,
        "kind": "VolumeSnapshot",
        "metadata": {"name": name},
        "spec": {"volumeSnapshotClassName": claim["storageClass"], "source": {"persistentVolumeClaimName": claim["name"]}},
    }


def _restored(name: str, claim: dict[str, str], size: str) -> Json:
    """A claim that begins with what a snapshot of its name has (docs/recovery.md)."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": claim["storageClass"],
            "resources": {"requests": {"storage": size}},
            "dataSource": {"apiGroup": SNAPSHOT_API.split("/")[0], "kind": "VolumeSnapshot", "name": name},
        },
    }
