"""An embedded cluster with a cloud's CSI driver: real file systems, sizes, growth, snapshots and
zones, through Kubernetes' own sidecars and kubelet."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from devkube.cluster import csi, host
from devkube.cluster import embedded as embedded_module
from devkube.cluster.csi import Flavour
from devkube.cluster.embedded import EmbeddedCluster
from devkube.images import reference
from devkube.tests.test_embedded_cluster import Fixture, assert_nothing_runs

_LACKING = [*embedded_module.lacking(), *csi.lacking()]
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(3600),  # the first run builds the driver and the sidecars
    pytest.mark.skipif(bool(_LACKING), reason="; ".join(_LACKING)),
]


@dataclass(frozen=True)
class Cloud:
    """What is of one cloud in the objects below."""

    flavour: Flavour
    parameters: dict[str, str]
    handle: str  # of a volume, a regular expression
    zone_key: str  # of a volume's node affinity
    faster: dict[str, str]  # what a disk of 8 GiB can be changed to
    refused: dict[str, str]  # what it can't
    refused_status: str  # of the claim then


CLOUDS = [
    Cloud(
        "ebs",
        {"type": "gp3"},
        r"vol-[0-9a-f]{17}",
        "topology.kubernetes.io/zone",
        {"iops": "3500", "throughput": "200"},
        {"iops": "16000"},
        "Infeasible",
    ),
    Cloud(
        "gce",
        {"type": "hyperdisk-balanced"},
        r"projects/rehearsal/zones/us-central1-a/disks/pvc-[0-9a-f-]{36}",
        "topology.gke.io/zone",
        {"iops": "3500", "throughput": "200Mi"},
        {"iops": "500000"},
        "InProgress",  # the driver gives the cloud's refusal no code, and the resizer tries again
    ),
]


def storage_class(cloud: Cloud, name: str, file_system: str) -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": csi.DRIVERS[cloud.flavour],
        "parameters": {**cloud.parameters, "csi.storage.k8s.io/fstype": file_system},
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
        "reclaimPolicy": "Delete",
        "mountOptions": ["noatime"],
    }


def claim(name: str, class_name: str, size: str, **more: Any) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOncePod"], "storageClassName": class_name, "resources": {"requests": {"storage": size}}, **more}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def pod(name: str) -> dict[str, Any]:
    """A pod that has the claim of its name at /data."""
    container = {
        "name": "busybox",
        "image": reference("busybox"),
        "command": ["sh", "-c", "trap exit TERM; while :; do sleep 0.2; done"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], "volumes": volumes},
    }


def attributes_class(cloud: Cloud, name: str, parameters: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttributesClass",
        "metadata": {"name": name},
        "driverName": csi.DRIVERS[cloud.flavour],
        "parameters": parameters,
    }


class Disks(Fixture):
    """A throw-away cluster of one node with a cloud's driver."""

    def __init__(self, cloud: Cloud, folder: Path, name: str = "") -> None:
        super().__init__(name or f"disks-{cloud.flavour}", folder)
        self.cloud = cloud
        self.cluster = EmbeddedCluster(self.identity, self.cluster.context, self.kubeconfig, driver=cloud.flavour)

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def ready(self, name: str) -> None:
        self.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=120s")

    def sh(self, name: str, script: str) -> str:
        return self.kubectl("exec", name, "--", "sh", "-c", script)

    def mebibytes(self, name: str) -> int:
        return int(self.sh(name, "df -m /data | tail -1 | awk '{print $2}'"))

    def until(self, what: Callable[[], object], seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not what():
            if time.monotonic() > end:
                pytest.fail(f"not within {seconds} s; events:\n{self.kubectl('get', 'events')}")
            time.sleep(0.5)

    def volume(self, name: str) -> dict[str, Any]:
        """The volume of a claim."""
        return self.get("pv", self.get("pvc", name)["spec"]["volumeName"])


# The rehearsal of the aws stack goes most of the same way in `make test`.
@pytest.fixture(scope="module", params=[pytest.param(CLOUDS[0], marks=pytest.mark.soak), CLOUDS[1]], ids=lambda cloud: str(cloud.flavour))
def disks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disks]:
    """A cluster with a pod on ext4 and one on XFS; the tests below use it one after the other."""
    made = Disks(request.param, tmp_path_factory.mktemp("disks"))
    made.cluster.delete()
    try:
        made.cluster.start()
        made.apply(storage_class(made.cloud, "ext4", "ext4"), storage_class(made.cloud, "xfs", "xfs"))
        made.apply(*(claim(name, name, "5900Mi") for name in ("ext4", "xfs")), pod("ext4"), pod("xfs"))
        made.ready("ext4")
        made.ready("xfs")
        yield made
    finally:
        made.cluster.delete()


def test_a_volume_is_what_its_class_says(disks: Disks) -> None:
    for name in ("ext4", "xfs"):
        volume = disks.volume(name)
        assert re.fullmatch(disks.cloud.handle, volume["spec"]["csi"]["volumeHandle"])
        assert volume["spec"]["capacity"]["storage"] == "6Gi", "rounded up"
        term = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]
        assert (term["key"], term["values"]) == (disks.cloud.zone_key, [csi.ZONES[disks.cloud.flavour][0]])
        mounted = disks.sh(name, "grep ' /data ' /proc/mounts").split()
        assert mounted[2] == name and "noatime" in mounted[3].split(",")
        assert 5700 < disks.mebibytes(name) <= 6144
    assert disks.sh("ext4", "ls /data").split() == ["lost+found"]


def test_a_full_disk_is_full(disks: Disks) -> None:
    said = disks.sh("ext4", "fallocate -l 7516192768 /data/much 2>&1; rm -f /data/much")
    assert "No space left on device" in said


def test_xfs_grows_in_use_and_ext4_at_the_next_mount_at_the_latest(disks: Disks) -> None:
    for name in ("ext4", "xfs"):
        disks.sh(name, "echo kept > /data/kept")
        disks.apply(claim(name, name, "8Gi"))
    disks.until(lambda: disks.mebibytes("xfs") > 7500)
    disks.until(lambda: disks.get("pvc", "xfs")["status"]["capacity"]["storage"] == "8Gi")
    disks.until(lambda: disks.volume("ext4")["spec"]["capacity"]["storage"] == "8Gi")
    disks.kubectl("delete", "pod", "ext4")
    disks.apply(pod("ext4"))
    disks.ready("ext4")
    disks.until(lambda: disks.get("pvc", "ext4")["status"]["capacity"]["storage"] == "8Gi")
    assert disks.mebibytes("ext4") > 7500
    assert disks.sh("ext4", "cat /data/kept") == "kept\n"


def test_a_snapshot_is_restored_beside_its_source(disks: Disks) -> None:
    snapshot = {"apiVersion": "snapshot.storage.k8s.io/v1"}
    policy = {"driver": csi.DRIVERS[disks.cloud.flavour], "deletionPolicy": "Delete"}
    disks.apply({**snapshot, "kind": "VolumeSnapshotClass", "metadata": {"name": "csi"}, **policy})
    for name in ("ext4", "xfs"):
        disks.sh(name, "echo before > /data/moment")
        of = {"volumeSnapshotClassName": "csi", "source": {"persistentVolumeClaimName": name}}
        disks.apply({**snapshot, "kind": "VolumeSnapshot", "metadata": {"name": name}, "spec": of})
        disks.kubectl("wait", f"volumesnapshot/{name}", "--for=jsonpath={.status.readyToUse}=true", "--timeout=60s")
        disks.sh(name, "echo after > /data/moment")
        source = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": name}
        disks.apply(claim(f"{name}-again", name, "10Gi", dataSource=source), pod(f"{name}-again"))
    for name in ("ext4", "xfs"):
        disks.ready(f"{name}-again")
        assert disks.sh(f"{name}-again", "cat /data/moment") == "before\n"
        assert disks.mebibytes(f"{name}-again") > 9500
        assert disks.sh(name, "cat /data/moment") == "after\n"
        disks.kubectl("delete", f"pod/{name}-again", f"pvc/{name}-again", f"volumesnapshot/{name}")


def test_attributes_are_changed_in_use_or_refused_as_the_cloud_would(disks: Disks) -> None:
    disks.apply(attributes_class(disks.cloud, "faster", disks.cloud.faster), attributes_class(disks.cloud, "refused", disks.cloud.refused))
    disks.apply(claim("xfs", "xfs", "8Gi", volumeAttributesClassName="faster"))
    disks.until(lambda: disks.get("pvc", "xfs")["status"].get("currentVolumeAttributesClassName") == "faster")
    assert disks.volume("xfs")["spec"]["volumeAttributesClassName"] == "faster"
    disks.apply(claim("xfs", "xfs", "8Gi", volumeAttributesClassName="refused"))
    disks.until(lambda: "VolumeModifyFailed" in disks.kubectl("get", "events", "--field-selector=involvedObject.name=xfs"))
    assert disks.get("pvc", "xfs")["status"]["modifyVolumeStatus"]["status"] == disks.cloud.refused_status
    assert disks.get("pvc", "xfs")["status"]["currentVolumeAttributesClassName"] == "faster"
    disks.apply(claim("xfs", "xfs", "8Gi", volumeAttributesClassName="faster"))
    disks.until(lambda: "modifyVolumeStatus" not in disks.get("pvc", "xfs")["status"])


def test_only_one_pod_has_a_volume_for_one_pod(disks: Disks) -> None:
    second = pod("xfs")
    second["metadata"]["name"] = "second"
    disks.apply(second)
    disks.until(lambda: "ReadWriteOncePod" in disks.kubectl("get", "events", "--field-selector=involvedObject.name=second"))
    assert disks.get("pod", "second")["status"]["phase"] == "Pending"
    disks.kubectl("delete", "pod", "second")


def test_down_detaches_and_up_brings_everything_back(disks: Disks) -> None:
    folder = disks.layout.home / "csi"
    disks.until(lambda: len(disks.cluster.contents()) == 3)  # the restored volumes of before are going
    before = disks.cluster.contents()
    assert [line.split(" ")[0] for line in before] == ["the", "volume", "volume"]
    disks.cluster.stop()
    assert_nothing_runs(disks)
    assert csi.attached(folder) == []
    assert disks.cluster.contents() == before
    disks.cluster.start()
    for name in ("ext4", "xfs"):
        disks.until(lambda name=name: disks.get("pod", name)["status"]["containerStatuses"][0]["restartCount"] > 0)  # type: ignore[misc]
        disks.ready(name)
        assert disks.sh(name, "cat /data/moment") == "after\n"


def test_a_deleted_claim_takes_its_disk_with_it(disks: Disks) -> None:
    handle = disks.volume("ext4")["spec"]["csi"]["volumeHandle"]
    disks.kubectl("delete", "pod/ext4", "pvc/ext4", "--wait=true")
    name = handle.rsplit("/", 1)[-1]
    disks.until(lambda: not any(name in line for line in disks.cluster.contents()))
    assert len(csi.attached(disks.layout.home / "csi")) == 1


def test_delete_leaves_no_device_mount_or_file(disks: Disks) -> None:
    home = disks.layout.home
    assert len(disks.cluster.left_behind()) > 3, "it tells a cluster that is there"
    disks.cluster.delete()
    assert csi.attached(home / "csi") == []
    assert not host.mounts_below(home)
    assert not home.exists()
    assert disks.cluster.left_behind() == []
