"""A cluster in memory with snapshots: what its controllers do happens when it is looked at."""

from __future__ import annotations

import itertools
import json
import re
from copy import deepcopy
from typing import Any
from urllib.parse import unquote

from components.kube.api import KubeApi
from components.kube.errors import ApiError
from components.provisioners import SNAPSHOT_API
from components.settings import Settings, load
from ops.volumes.api import VolumesApi
from ops.volumes.stack_volumes import StackVolumes
from ops.volumes.wanted import wanted_claims
from tests.unit.mocked_program import stack_config
from tests.unit.volume_objects import NODE, stamp

SNAPSHOTS = f"/apis/{SNAPSHOT_API}/namespaces/data/volumesnapshots"
CONTENTS = f"/apis/{SNAPSHOT_API}/volumesnapshotcontents"
CLASSES = f"/apis/{SNAPSHOT_API}/volumesnapshotclasses"
CLAIMS = "/api/v1/namespaces/data/persistentvolumeclaims"
PODS = "/api/v1/namespaces/data/pods"
VOLUMES = "/api/v1/persistentvolumes"


def settings(**changes: Any) -> Settings:
    """Those of stack aws, with snapshots."""
    declared: dict[str, dict[str, Any]] = json.loads(stack_config("aws")["storage-tiers:tiers"])
    return load(stack_config("aws", **{"tiers": {name: {**tier, "snapshots": {}} for name, tier in declared.items()}, **changes}), "aws")


class SnapshotCluster(KubeApi):
    """Three brokers of stack aws on volumes of their own.

    `failing` are names of snapshots or pods that never get ready, `slow` those that are taken and
    not ready, `stuck` those that are deleted and don't go. `status` is what a creation answers
    instead, by the object's name.
    """

    def __init__(self) -> None:
        self.context = "here"
        self.objects: dict[str, dict[str, Any]] = {}
        self.failing: dict[str, str] = {}
        self.slow: set[str] = set()
        self.stuck: set[str] = set()
        self.status: dict[str, ApiError] = {}
        self.sent: list[tuple[str, str]] = []
        self._numbers = itertools.count()
        self.add("/api/v1/nodes", deepcopy(NODE))
        for name in ("streaming-ebs", "database-ebs"):
            self.add(CLASSES, {"metadata": {"name": name}})
        for ordinal in range(3):
            self.bound(ordinal)

    def bound(self, ordinal: int, service: str = "kafka") -> None:
        """A claim, a broker's unless said, with its volume."""
        volume, name = f"pv{ordinal}" if service == "kafka" else f"pv-{service}-{ordinal}", f"data-{service}-{ordinal}"
        claim = self.add(CLAIMS, self.claim(name, volume))
        reference = {"namespace": "data", "name": name, "uid": claim["metadata"]["uid"]}
        self.add(VOLUMES, self.volume(volume, reference, "Bound", stamp(ordinal=ordinal, service=service, stack="aws")))

    @staticmethod
    def claim(name: str, volume: str = "") -> dict[str, Any]:
        spec = {"storageClassName": "streaming-ebs", **({"volumeName": volume} if volume else {})}
        marks = {key: value for key, value in stamp(stack="aws").items() if key.startswith("app")}
        return {"metadata": {"name": name, "labels": marks}, "spec": spec, "status": {"phase": "Bound" if volume else "Pending"}}

    @staticmethod
    def volume(name: str, reference: dict[str, str], phase: str, marks: dict[str, str], size: str = "4Gi") -> dict[str, Any]:
        spec = {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOncePod"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "streaming-ebs",
            "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": f"vol-{name}"},
            "claimRef": reference,
        }
        return {"metadata": {"name": name, "labels": marks}, "spec": spec, "status": {"phase": phase}}

    def add(self, collection: str, found: dict[str, Any]) -> dict[str, Any]:
        name = found["metadata"]["name"]
        found["metadata"] |= {"uid": f"uid-{name}-{next(self._numbers)}", "resourceVersion": "1"}
        self.objects[f"{collection}/{name}"] = found
        return found

    def in_(self, collection: str) -> dict[str, dict[str, Any]]:
        """The objects of a collection, by their names."""
        return {path.rpartition("/")[2]: each for path, each in self.objects.items() if path.rpartition("/")[0] == collection}

    def control(self) -> None:
        """What controllers and driver do."""
        for name, snapshot in self.in_(SNAPSHOTS).items():
            content = f"snapcontent-{snapshot['metadata']['uid']}"
            if f"{CONTENTS}/{content}" not in self.objects:
                of = {"driver": "ebs.csi.aws.com", "deletionPolicy": "Retain", "volumeSnapshotRef": {"uid": snapshot["metadata"]["uid"]}}
                self.add(CONTENTS, {"metadata": {"name": content}, "spec": of, "status": {"snapshotHandle": f"snap-{name}"}})
            snapshot["status"] = {"boundVolumeSnapshotContentName": content}
            if name in self.failing:
                snapshot["status"]["error"] = {"message": self.failing[name]}
            else:
                snapshot["status"] |= {"creationTime": "now", "readyToUse": name not in self.slow, "restoreSize": "4Gi"}
        for name, pod in self.in_(PODS).items():
            claim = self.in_(CLAIMS)[name]
            if name not in self.failing:
                pod["status"] = {"phase": "Succeeded"}
            if "volumeName" not in claim["spec"]:
                claim["spec"]["volumeName"] = f"pv-{name}"
                reference = {"namespace": "data", "name": name, "uid": claim["metadata"]["uid"]}
                size = claim["spec"]["resources"]["requests"]["storage"]
                self.add(VOLUMES, self.volume(f"pv-{name}", reference, "Bound", {}, size))
        uids = {claim["metadata"]["uid"] for claim in self.in_(CLAIMS).values()}
        for volume in self.in_(VOLUMES).values():
            reference = volume["spec"]["claimRef"]
            if reference.get("uid") and reference["uid"] not in uids:
                volume["status"]["phase"] = "Released"
            elif not reference.get("uid"):
                volume["status"]["phase"] = "Available"

    def request(self, method: str, path: str, body: dict[str, Any] | None = None, **_: Any) -> dict[str, Any]:
        self.control()
        path, __, query = path.partition("?")
        if method != "GET":
            self.sent.append((method, path))
        if method == "POST" and body:
            if problem := self.status.get(body["metadata"]["name"]):
                raise problem
            if f"{path}/{body['metadata']['name']}" in self.objects:
                raise ApiError("the API answered 409", 409)
            return deepcopy(self.add(path, deepcopy(body)))
        found = self.objects.get(path)
        if found is None and (method != "GET" or re.search("/[a-z]+s$", path) is None):
            raise ApiError("the API answered 404", 404)
        if found is None:
            wanted = dict(each.split("=") for each in unquote(query).partition("labelSelector=")[2].split(",") if each)
            items = self.in_(path).values()
            return {"items": [deepcopy(each) for each in items if wanted.items() <= (each["metadata"].get("labels") or {}).items()]}
        if method == "DELETE":
            uid = ((body or {}).get("preconditions") or {}).get("uid")
            if uid and uid != found["metadata"]["uid"]:
                raise ApiError("the API answered 409", 409)
            if path.rpartition("/")[2] in self.stuck:
                found["metadata"]["deletionTimestamp"] = "now"
                return deepcopy(found)
            del self.objects[path]
            content = f"{CONTENTS}/snapcontent-{found['metadata']['uid']}"
            if self.objects.get(content, {}).get("spec", {}).get("deletionPolicy") == "Delete":
                del self.objects[content]
        if method == "PATCH":
            _merge(found, body or {})
        return deepcopy(found)


def _merge(into: dict[str, Any], body: dict[str, Any]) -> None:
    for key, value in body.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def stack(cluster: SnapshotCluster, **changes: Any) -> StackVolumes:
    """Stack aws on a cluster in memory."""
    made = object.__new__(StackVolumes)
    made.settings = settings(**changes)
    made.namespace, made.wanted = "data", wanted_claims(made.settings)
    made.api = VolumesApi(cluster)
    made.folder = made.list_file = None
    return made
