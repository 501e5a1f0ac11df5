"""A cluster in memory for acceptances: an engine of a few lines that commits, and what it keeps can
be spoiled.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.unit.canary_cluster import CanaryCluster, Json

# It says what the script of PostgreSQL says. The ledger of the volume is a file with a number.
ENGINE = """
import json, os, pathlib, sys, time
sys.path.insert(0, sys.argv[1])
from components.acceptance.scripts.common import blocks, content, say
step, root, run, lost, fault = sys.argv[2], pathlib.Path(sys.argv[3]), sys.argv[4], int(sys.argv[5]), sys.argv[6]
kept, next_one = root / "kept", root / "next"  # replaced in one step: a kill in between would leave an empty one
say("mount", {"type": "ext4", "bytes": 2 ** 31, "freeBytes": 2 ** 31, "found": [each.name for each in root.iterdir()]})
if step == "load":
    say("engine", {"name": "postgresql", "version": "15.20", "settings": {"fsync": "on"}})
    for number in range(1, 3000):
        next_one.write_text(str(number))
        os.replace(next_one, kept)
        say("acks", {"0": number})
        if number % 10 == 0:
            say("figures", {"tps": 100.0, "commitMs": {"p50": 1.0}, "walBytes": 1000 * number})
        if number == 20:
            say("checkpoint", {"seconds": 0.1})
        if fault and number == 5:
            say("fault", {"errno": fault, "path": "", "message": "could not extend file"})
            sys.exit(1)
        time.sleep(0.01)
else:
    number = int(kept.read_text()) - lost
    say("recovered", {"seconds": 0.4})
    rows = list(blocks((each, content(run, 0, each)) for each in range(1, number + 1)))
    say("rows", {"client": 0, "counted": number, "blocks": rows})
    say("slot", {"client": 0, "ranges": [[1, number]]})
    say("amcheck", {"status": 0, "said": []})
    say("checksums", {"status": 0, "said": []})
    say("done", "recover")
"""
ROOT = Path(__file__).parents[2]


class AcceptingCluster(CanaryCluster):
    """`lost` transactions are missing after the kill; `fault` is what the engine meets in mid-load.

    With `no_client` the container before the engine's fails.
    """

    def __init__(self, folder: Path, *, lost: int = 0, fault: str = "", no_client: bool = False, swallowed: str = "") -> None:
        super().__init__(folder, swallowed=swallowed)
        self.lost = lost
        self.fault = fault
        self.no_client = no_client
        self.pods: list[Json] = []

    def lines(self, path: str, silence: float) -> Any:
        if "container=tools" in path:
            return iter(['fault {"errno":"pip","message":"ERROR: No matching distribution found for psycopg"}'])
        return super().lines(path, silence)

    def _run(self, path: str, pod: Json) -> None:
        self.pods.append(pod)
        namespace = path.rpartition("/pods/")[0]
        self._bind(self.objects[f"{namespace}/persistentvolumeclaims/{pod['spec']['volumes'][0]['persistentVolumeClaim']['claimName']}"])
        pod["spec"]["nodeName"] = "here"
        command = pod["spec"]["containers"][0]["command"]
        run = next(each for each in command if each.startswith("--run=")).removeprefix("--run=")
        step = command[command.index("postgresql") + 1]
        with self._log(path).open("wb") as log:
            arguments = [str(ROOT), step, str(self.folder), run, str(self.lost), self.fault]
            self._processes[path] = subprocess.Popen([sys.executable, "-c", ENGINE, *arguments], stdout=log)

    def _pod_status(self, path: str) -> Json:
        status = super()._pod_status(path)
        if self.no_client:
            ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
            return {"phase": "Failed", "initContainerStatuses": [{"name": "tools", "state": ended}]}
        for each in status["containerStatuses"]:
            each["imageID"] = f"docker.io/library/{each['name']}@sha256:0123"
        return status
