"""A cluster in memory for the canary: its pods run the real probe on a folder, beside a sidecar
that never ends.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from components.canary import probe
from components.canary.manifests import MOUNT
from components.kube.errors import ApiError

Json = dict[str, Any]
VOLUME = "/api/v1/persistentvolumes/pv-1"


class CanaryCluster:
    """Has what KubeApi has.

    A claim is bound when its first pod comes; a volume goes with its claim if that is its reclaim
    policy. Lines of logs that begin with `swallowed` never come.
    """

    def __init__(self, folder: Path, *, swallowed: str = "") -> None:
        self.folder = folder
        self.objects: dict[str, Json] = {}
        self.asked_logs: list[str] = []
        self.swallowed = swallowed
        self.refused: list[ApiError] = []  # what the next requests to create an object are answered with
        self._numbers = itertools.count(1)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    # --- as KubeApi has it ---

    def get(self, path: str) -> Json:
        found = self.find(path)
        if found is None:
            raise ApiError("the API answered 404", 404, f"{path} not found")
        return found

    def find(self, path: str) -> Json | None:
        if path in self._processes and path in self.objects:
            self.objects[path]["status"] = self._pod_status(path)
        return self.objects.get(path)

    def items(self, path: str) -> list[Json]:
        collection, _, query = path.partition("?")
        pairs = [pair.split("=") for pair in unquote(parse_qs(query).get("labelSelector", [""])[0]).split(",") if pair]
        wanted = dict(pairs)
        found = [each for name, each in self.objects.items() if name.rpartition("/")[0] == collection]
        return [each for each in found if wanted.items() <= (each["metadata"].get("labels") or {}).items()]

    def create(self, path: str, body: Json) -> Json:
        if self.refused:
            raise self.refused.pop(0)
        made = self.add(f"{path}/{body['metadata']['name']}", body)
        if body["kind"] == "Pod":
            self._run(f"{path}/{body['metadata']['name']}", made)
        return made

    def patch(self, path: str, body: Json) -> Json | None:
        found = self.objects.get(path)
        version = body.get("metadata", {}).get("resourceVersion")
        if found is None or version not in (None, found["metadata"]["resourceVersion"]):
            return None
        for part, changes in body.items():
            for key, value in changes.items():
                found[part][key] = {**found[part].get(key, {}), **value} if isinstance(value, dict) else value
        found["metadata"]["resourceVersion"] = str(next(self._numbers))
        return found

    def delete(self, path: str, *, uid: str = "", grace: int | None = None) -> bool:
        found = self.objects.get(path)
        if found is None or uid not in ("", found["metadata"]["uid"]):
            return False
        del self.objects[path]
        if path in self._processes:
            self._processes.pop(path).kill()
        volume = self.objects.get(VOLUME)
        if found["kind"] == "PersistentVolumeClaim" and volume and volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete":
            del self.objects[VOLUME]
            shutil.rmtree(self.folder)
        return True

    def lines(self, path: str, silence: float) -> Iterator[str]:
        self.asked_logs.append(path)
        pod = path.partition("/log?")[0]
        if pod not in self._processes:
            raise ApiError("the API answered 404", 404)
        process, rest = self._processes[pod], b""
        with self._log(pod).open("rb") as log:
            while True:
                ended = process.poll() is not None
                *whole, rest = (rest + log.read()).split(b"\n")
                said = (line.decode() for line in whole)
                yield from (line for line in said if not (self.swallowed and line.startswith(self.swallowed)))
                if ended:
                    return
                time.sleep(0.01)

    # --- what the cluster does ---

    def add(self, path: str, body: Json) -> Json:
        number = next(self._numbers)
        metadata = {"creationTimestamp": "2026-11-24T00:00:00Z", "resourceVersion": str(number), "uid": f"uid-{number}", **body["metadata"]}
        made = {"spec": {}, "status": {"phase": "Pending"}, **body, "metadata": metadata}
        self.objects[path] = made
        return made

    def _run(self, path: str, pod: Json) -> None:
        namespace = path.rpartition("/pods/")[0]
        name = pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
        self._bind(self.objects[f"{namespace}/persistentvolumeclaims/{name}"])
        pod["spec"]["nodeName"] = "here"
        command = pod["spec"]["containers"][0]["command"]
        arguments = [f"--root={self.folder}" if each == f"--root={MOUNT}" else each for each in command[3:]]
        with self._log(path).open("wb") as log:
            self._processes[path] = subprocess.Popen([sys.executable, "-IB", probe.__file__, *arguments], stdout=log)

    def _log(self, path: str) -> Path:
        return self.folder.with_name(f"{path.rpartition('/')[2]}.log")

    def _pod_status(self, path: str) -> Json:
        status = self._processes[path].poll()
        state = {"running": {}} if status is None else {"terminated": {"exitCode": status, "reason": "Completed"}}
        sidecar = {"name": "istio-proxy", "state": {"running": {}}}
        return {"phase": "Running", "containerStatuses": [sidecar, {"name": "probe", "state": state}]}

    def _bind(self, claim: Json) -> None:
        if VOLUME not in self.objects:
            self.folder.mkdir()
            metadata, spec = claim["metadata"], claim["spec"]
            claim_ref = {"namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}
            volume = {"claimRef": claim_ref, "persistentVolumeReclaimPolicy": "Retain", "storageClassName": spec["storageClassName"]}
            self.add(VOLUME, {"kind": "PersistentVolume", "metadata": {"name": "pv-1"}, "spec": volume})
        claim["spec"]["volumeName"] = "pv-1"
        claim["status"] = {"phase": "Bound"}
