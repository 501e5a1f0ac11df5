"""A cluster in memory for acceptances by Kafka: three brokers of a few lines, each on a volume of
its own; what they keep can be spoiled.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from tests.unit.canary_cluster import CanaryCluster, Json

ROOT = Path(__file__).parents[2]
# It says what the script of Kafka says. What the three have kept is a file for each partition.
BROKER = """
import pathlib, sys, time
sys.path.insert(0, sys.argv[1])
from components.acceptance.scripts.common import blocks, content, say
step, root, run, broker, lost = sys.argv[2], pathlib.Path(sys.argv[3]), sys.argv[4], int(sys.argv[5]), int(sys.argv[6])
own, shared = root / str(broker), root
if step == sys.argv[7]:
    sys.exit(9)
say("mount", {"type": "ext4", "bytes": 2 ** 31, "freeBytes": 2 ** 31, "found": [each.name for each in own.iterdir()]})
if step == "load":
    (own / "kafka").mkdir()
    say("engine", {"name": "kafka", "version": "4.4.0", "settings": {"acks": "all"}})
    partition = (broker + 1) % 3
    for number in range(1, int(sys.argv[9])):
        (shared / f"new-{broker}").write_text(str(number))
        (shared / f"new-{broker}").rename(shared / f"partition-{partition}")
        say("acks", {partition: number})
        if number % 10 == 1:
            taken = {"p50": 1.0, "p99": 2.0}
            say("figures", {"records": number, "seconds": number, "bytes": 400 * number, "ackMs": taken})
        time.sleep(0.01)
    say("done", step)
    time.sleep(600)
else:
    say("joined", {"seconds": 1.5})
    if step == "recover":
        kept = {each: int((shared / f"partition-{each}").read_text()) for each in range(3)}
        made = {each: list(blocks((n, content(run, each, n)) for n in range(1, last + 1 - lost))) for each, last in kept.items()}
        say("rows", {"partition": broker, "blocks": made[broker]})
        for each in range(3):
            say("replica", {"partition": each, "blocks": made[each]})
            say("segments", {"partition": each, "status": 0, "said": [], "files": 1})
    say("discarded", ["Found invalid messages"] if step == sys.argv[8] else [])
    say("done", step)
    time.sleep(600)
"""


class BrokersCluster(CanaryCluster):
    """`lost` records of each partition are missing at the end. In the step `ends` brokers end.

    In the step `discards` they throw records away. Each writes `records` of them.
    `told` is what pods were told of one another's addresses, in that order.
    """

    context = "ctx"

    def __init__(
        self, folder: Path, *, lost: int = 0, ends: str = "", swallowed: str = "", discards: str = "", records: int = 6000
    ) -> None:
        super().__init__(folder, swallowed=swallowed)
        folder.mkdir()
        self.lost = lost
        self.ends = ends
        self.discards = discards
        self.records = records
        self.pods: list[Json] = []
        self.told: list[str] = []

    def of_context(self, context: str) -> Self:
        assert context == self.context
        return self

    def patch(self, path: str, body: Json) -> Json | None:
        self.told += body.get("metadata", {}).get("annotations", {}).values()
        return super().patch(path, body)

    def delete(self, path: str, *, uid: str = "", grace: int | None = None) -> bool:
        found = self.objects.get(path)
        gone = super().delete(path, uid=uid, grace=grace)
        if gone and found and found["kind"] == "PersistentVolumeClaim":
            volume = self.objects.pop(f"/api/v1/persistentvolumes/{found['spec'].get('volumeName')}", None)
            assert volume is None or volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
        return gone

    def _run(self, path: str, pod: Json) -> None:
        self.pods.append(pod)
        claim = pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
        arguments = dict(each[2:].split("=") for each in pod["spec"]["containers"][0]["command"] if each.startswith("--") and "=" in each)
        broker = arguments["broker"]
        self._bind_own(self.objects[f"{path.rpartition('/pods/')[0]}/persistentvolumeclaims/{claim}"], broker)
        pod["spec"]["nodeName"] = "here"
        command = pod["spec"]["containers"][0]["command"]
        step = command[command.index("kafka") + 1]
        given = [str(ROOT), step, str(self.folder), arguments["run"], broker, str(self.lost), self.ends, self.discards, str(self.records)]
        with self._log(path).open("wb") as log:
            self._processes[path] = subprocess.Popen([sys.executable, "-c", BROKER, *given], stdout=log)

    def _bind_own(self, claim: Json, broker: str) -> None:
        metadata, spec = claim["metadata"], claim["spec"]
        path = f"/api/v1/persistentvolumes/of-{broker}"
        if path not in self.objects:
            shutil.rmtree(self.folder / broker, ignore_errors=True)
            (self.folder / broker).mkdir()
            claim_ref = {"namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}
            volume = {"claimRef": claim_ref, "persistentVolumeReclaimPolicy": "Retain", "storageClassName": spec["storageClassName"]}
            self.add(path, {"kind": "PersistentVolume", "metadata": {"name": f"of-{broker}"}, "spec": volume})
        claim["spec"]["volumeName"] = f"of-{broker}"
        claim["status"] = {"phase": "Bound"}

    def _pod_status(self, path: str) -> Json:
        status = super()._pod_status(path)
        status["podIP"] = f"10.0.0.{1 + [pod['metadata']['name'] for pod in self.pods].index(path.rpartition('/')[2])}"
        return status

    def addresses(self) -> list[dict[str, Any]]:
        """What was told, by broker, each time once."""
        read = [{name: address for address, name in map(str.split, lines.splitlines())} for lines in self.told]
        return [each for number, each in enumerate(read) if number % 3 == 0]
