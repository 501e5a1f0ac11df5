"""The rehearsal's CSI driver: Kubernetes' own conformance suite (csi-sanity), its own tests on real
file systems, and what is left on the machine when it has ended."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from devkube import paths
from devkube.cluster import csi, csi_objects, host, nodes
from devkube.cluster.control_plane import ControlPlane
from devkube.cluster.csi import CsiDriver, CsiNode, Flavour
from devkube.cluster.daemons import Daemon, wait_for
from devkube.cluster.layout import Layout, Ports
from devkube.cluster.node import Node
from devkube.errors import MachineError
from devkube.toolchain import build as toolchain
from devkube.toolchain.build import build

needs_disks = pytest.mark.skipif(bool(csi.lacking()), reason="; ".join(csi.lacking()))


@pytest.fixture
def layout(monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    """A cluster's places in a folder of the test's own; nothing of it runs or is attached
    afterwards."""
    with tempfile.TemporaryDirectory(prefix="csi-") as short:  # a socket's path has at most 107 bytes
        monkeypatch.setattr(paths, "MACHINE_STATE", Path(short, "lib"))
        monkeypatch.setattr(paths, "MACHINE_RUN", Path(short, "run"))
        made = Layout("csi", "198.18.250.0/24", Ports(*range(1, 8)))
        for folder in (made.run / "pids", made.logs, made.kubelet_root):
            folder.mkdir(parents=True)
        yield made
        csi.stop_running(made)
        csi.release(made, [made.kubelet_root])


def attach(file: Path) -> str:
    """The loop device of a new file of 1 MiB."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as made:
        made.truncate(2**20)
    return subprocess.run(["losetup", "--find", "--show", file], capture_output=True, text=True, check=True).stdout.strip()


# --- conformance ----------------------------------------------------------------------------------

# What csi-sanity leaves out by itself because the driver doesn't offer it, and why it doesn't.
_NEW = "added to CSI lately, and in neither cloud's driver"
NOT_OFFERED: Mapping[str, Mapping[str, str]] = {
    "every": {
        "pending": "csi-sanity's own: it leaves a test of ListVolumes' pages out everywhere",
        "GetCapacity not supported": "nobody can name a cloud's capacity",
        "GroupControllerService not supported": "snapshots of several volumes at a time: neither driver has them",
        "SNAPSHOT_ACCESSIBILITY_CONSTRAINTS not supported": _NEW,
        "GetSnapshot not supported": _NEW,
        "ControllerGetVolumeHealth not supported": _NEW,
        "ControllerListVolumeHealth not supported": _NEW,
        "NodeGetVolumeHealth not supported": _NEW,
        "NodeGetStorageHealth not supported": _NEW,
    },
    "ebs": {
        "ListVolumes not supported": "EBS' driver has no list of volumes",
        "ControllerPublishVolume.readonly field not supported": "EBS attaches no disk for reading alone",
    },
    "gce": {
        "Service does not have single node multi writer capability": "GCE's driver doesn't know ReadWriteOncePod: the kubelet alone does"
    },
}
# Tests that can't pass, by their names, and why.
_ITS_OWN_HANDLES = "the driver tells a handle that can't be one of its own from one that names no volume"
_GROWS_UNMOUNTED = (
    {} if host.has_sys_resource() else {"NodeExpandVolume should work if node-expand": "ext4 grows in use with CAP_SYS_RESOURCE"}
)
NOT_RUN: Mapping[str, Mapping[str, str]] = {
    "ebs": _GROWS_UNMOUNTED,
    "gce": {
        **_GROWS_UNMOUNTED,
        "CreateVolume should fail when the volume source volume is not found": _ITS_OWN_HANDLES,
        "ValidateVolumeCapabilities should fail when the requested volume does not exist": _ITS_OWN_HANDLES,
        "ControllerPublishVolume should fail when the volume does not exist": _ITS_OWN_HANDLES,
        "ControllerPublishVolume should fail when the volume is already published but is incompatible": "its clean-up comes within "
        "the 200 ms for which the driver leaves a node alone after it was refused something",
    },
}
PARAMETERS: Mapping[str, dict[str, str]] = {"ebs": {"type": "gp3"}, "gce": {"type": "hyperdisk-balanced"}}
MUTABLE: Mapping[str, dict[str, str]] = {"ebs": {"iops": "3100"}, "gce": {"iops": "3100", "throughput": "200Mi"}}


@pytest.mark.cluster
@pytest.mark.timeout(3600)  # the first run builds the driver and the sidecars
@needs_disks
@pytest.mark.parametrize("flavour", csi.DRIVERS)
def test_the_driver_conforms(flavour: Flavour, layout: Layout, tmp_path: Path) -> None:
    programs = build("csi")
    node = CsiNode("storage-tiers", csi.ZONES[flavour][0], layout.kubelet_root, attach_limit=4)
    driver = CsiDriver(ControlPlane(layout, Path()), programs, flavour, [node])
    driver.node(node).start()
    driver.controller.start()
    sockets = {"endpoint": layout.kubelet_root / "plugins" / flavour / "csi.sock", "controllerendpoint": layout.run / "csi.sock"}
    for daemon, socket in zip((driver.node(node), driver.controller), sockets.values(), strict=True):
        wait_for(socket.exists, "its socket is not there", [daemon], 30)
    classes = {"testvolumeparameters": PARAMETERS, "testvolumemutableparameters": MUTABLE}
    for name, values in classes.items():
        (tmp_path / name).write_text(yaml.safe_dump(values[flavour]))
    settings = {
        **sockets,
        "mountdir": layout.kubelet_root / "pods",
        "stagingdir": layout.kubelet_root / "staged",
        "testnodevolumeattachlimit": "true",
        **{name: tmp_path / name for name in classes},
    }
    report = tmp_path / "report.xml"
    ran = subprocess.run(
        [
            programs / "csi-sanity",
            *(f"--csi.{name}={value}" for name, value in settings.items()),
            *(f"--ginkgo.skip={name}" for name in NOT_RUN[flavour]),
            "--ginkgo.no-color",
            f"--ginkgo.junit-report={report}",
        ],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-8000:]
    said = {told.get("message", "").removeprefix("skipped - ") for told in ElementTree.parse(report).getroot().iter("skipped")}
    assert said - {"skipped"} == {*NOT_OFFERED["every"], *NOT_OFFERED[flavour]}
    assert ("skipped" in said) == bool(NOT_RUN[flavour])


@pytest.mark.cluster
@pytest.mark.timeout(3600)  # the first run builds the driver and the sidecars
@needs_disks
def test_file_systems_snapshots_and_limits() -> None:
    """The driver's own tests, in Go: real ext4, ext3 and XFS on loop devices."""
    ran = subprocess.run(
        [toolchain.ensure_go(), "test", "-count=1", "-trimpath", "-buildvcs=false", "./internal/..."],
        cwd=toolchain.HERE / "csi",
        env={**toolchain.go_environment(), **csi.environment()},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]


# --- what is left ---------------------------------------------------------------------------------


@needs_disks
def test_every_disk_of_the_cluster_is_detached_and_nobody_elses(layout: Layout, tmp_path: Path) -> None:
    folder = csi.folder_of(layout, "ebs") / "disks"
    kept, deleted = folder / "vol-1", folder / "vol 2"
    attach(kept)
    attach(deleted)
    deleted.unlink()
    theirs = tmp_path / "csi-of-somebody-else" / "vol-1"
    device = attach(theirs)
    try:
        csi.release(layout, [layout.kubelet_root])
        assert csi.attached(layout.home / "csi") == []
        assert csi.attached(theirs.parent) == [(device, theirs)]
        assert kept.exists()
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@needs_disks
def test_a_device_of_another_containers_file_with_the_same_path_is_left_alone(layout: Layout) -> None:
    """Containers of one machine see each other's loop devices, with the paths that the files have
    there."""
    folder = csi.folder_of(layout, "ebs") / "disks"
    devices = [attach(folder / name) for name in ("same-name", "there-alone")]
    subprocess.run(["mount", "-t", "tmpfs", "other-container", folder], check=True)
    try:
        (folder / "same-name").touch()
        assert csi.attached(layout.home / "csi") == []
        csi.release(layout, [layout.kubelet_root])
        csi._detach(devices[0], folder / "same-name")  # as if the device had been given to somebody else meanwhile
    finally:
        subprocess.run(["umount", folder], check=True)
    assert csi.attached(layout.home / "csi") == sorted(zip(devices, (folder / "same-name", folder / "there-alone"), strict=True))
    csi.release(layout, [layout.kubelet_root])
    assert csi.attached(layout.home / "csi") == []


@needs_disks
def test_disks_and_mounts_are_found_behind_a_symbolic_link(layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As where the machine's state was put on another disk: the kernel's names have no link."""
    (tmp_path / "link").symlink_to(paths.MACHINE_STATE)
    monkeypatch.setattr(paths, "MACHINE_STATE", tmp_path / "link")
    file = csi.folder_of(layout, "ebs") / "disks/vol-1"
    device = attach(file)
    assert Path(Path(f"/sys/block/{Path(device).name}/loop/backing_file").read_text().strip()) == file
    mounted = layout.kubelet_root / "mounted"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", mounted], check=True)
    assert csi.attached(layout.home) == [(device, file)]
    assert host.mounts_below(layout.home) == [mounted.resolve()]
    csi.release(layout, [layout.kubelet_root])
    assert csi.attached(layout.home) == []
    assert host.mounts_below(layout.home) == []


@needs_disks
def test_a_disk_that_is_still_open_is_named(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csi, "_DETACHED_WITHIN", 0.2)
    file = csi.folder_of(layout, "gce") / "disks" / "us-central1-a~pvc-1"
    device = attach(file)
    opened = os.open(device, os.O_RDONLY)
    try:
        with pytest.raises(
            MachineError, match=r"these disks are still attached:\n  /dev/loop\d+: .*/us-central1-a~pvc-1\n.*/proc/\*/mounts"
        ):
            csi.release(layout, [layout.kubelet_root])
    finally:
        os.close(opened)


@needs_disks
def test_a_frozen_disk_of_the_cluster_is_thawed_and_nobody_elses(layout: Layout, tmp_path: Path) -> None:
    files = {"ours": csi.folder_of(layout, "ebs") / "disks/vol-1", "theirs": tmp_path / "of-somebody-else/vol-1"}
    places = {name: layout.kubelet_root / f"a {name}" for name in files}
    try:
        for name, file in files.items():
            device = attach(file)
            subprocess.run(["mkfs.ext4", "-q", device], check=True)
            places[name].mkdir()
            subprocess.run(["mount", device, places[name]], check=True)
            subprocess.run(["fsfreeze", "--freeze", places[name]], check=True)
        csi.thaw(layout, ["nsenter", f"--mount=/proc/{os.getpid()}/ns/mnt"])
        refused = subprocess.run(["fsfreeze", "--unfreeze", places["ours"]], capture_output=True, check=False)
        assert refused.returncode != 0, "it was thawed already"
    finally:
        thawed = {
            name: subprocess.run(["fsfreeze", "--unfreeze", place], capture_output=True, check=False) for name, place in places.items()
        }
        for place in places.values():
            subprocess.run(["umount", place], check=False)
        subprocess.run(["losetup", "--detach", csi.attached(files["theirs"].parent)[0][0]], check=True)
    assert thawed["theirs"].returncode == 0, "it was frozen still"


@needs_disks
def test_disks_are_thawed_before_pods_are_ended(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(csi, "thaw", lambda *_: told.append("thaw"))
    monkeypatch.setattr(host, "end_pods", lambda *_: told.append("end pods"))
    monkeypatch.setattr(host, "kill_pods", lambda *_: told.append("kill pods"))
    node = Node(layout, Path(), None)
    nodes._end([node], 0)
    assert told[:2] == ["thaw", "end pods"]
    told.clear()
    node.kill()
    assert told == ["thaw", "kill pods"]


def test_what_runs_of_the_driver_ends_and_nothing_else(layout: Layout) -> None:
    names = ["csi-controller", "csi-node-storage-tiers", "csi-node-storage-tiers-2", *csi.SIDECARS, "etcd"]
    daemons = {name: Daemon(name, ["sleep", "60"], layout.logs, layout.run / "pids") for name in names}

    def running() -> list[str]:
        return [name for name, daemon in daemons.items() if daemon.process()]

    try:
        for daemon in daemons.values():
            daemon.start()
        csi.end_on_node(layout)
        assert running() == [name for name in names if name != "csi-node-storage-tiers"]
        csi.stop_running(layout)
        assert running() == ["etcd"]
    finally:
        daemons["etcd"].stop()


def test_disks_and_snapshots_are_listed_before_they_are_deleted(layout: Layout) -> None:
    assert csi.contents(layout) == []
    folder = csi.folder_of(layout, "ebs")
    for name, size in (("disks/vol-1", 5 * 2**30), ("snapshots/snap-1", 2**30)):
        file = folder / name
        file.parent.mkdir(parents=True)
        with file.open("wb") as made:
            made.write(b"x" * 2**20)
            made.truncate(size)
            os.fsync(made.fileno())
    assert csi.contents(layout) == [
        f"volume vol-1 (5 GiB, 1 MiB of it used): {folder}/disks/vol-1",
        f"snapshot snap-1 (1 GiB, 1 MiB of it used): {folder}/snapshots/snap-1",
    ]


@pytest.mark.parametrize("flavour", csi.DRIVERS)
def test_every_sidecar_has_a_user_with_rights(flavour: Flavour, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csi, "environment", dict)
    driver = CsiDriver(ControlPlane(layout, Path()), Path("/programs"), flavour, [])
    made = csi_objects.objects(csi.DRIVERS[flavour])
    users = {subject["name"] for each in made if each["kind"] == "ClusterRoleBinding" for subject in each["subjects"]}  # type: ignore[attr-defined]
    started = {Path(sidecar.arguments[0]).name for sidecar in driver.sidecars}
    assert started == users == set(csi.SIDECARS)
    for sidecar in driver.sidecars:
        name = Path(sidecar.arguments[0]).name
        assert f"--kubeconfig={layout.kubeconfig(name)}" in sidecar.arguments


def test_what_the_machine_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert csi.lacking() == ["it needs Linux (this is darwin)"]
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name, path: None if name == "dumpe2fs" else name)
    said = csi.lacking()
    assert said[0] == "it needs root (run it with sudo)"
    assert said[-1] == "it needs these programs (packages e2fsprogs and util-linux): dumpe2fs"


def test_loop_devices_that_may_not_be_used_are_as_good_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for place, why in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file or directory")):
        monkeypatch.setattr(csi, "_LOOP_CONTROL", place)
        said = f"it needs {place} (`modprobe loop`; a container needs it given, `--privileged`): {why}"
        assert said in csi.lacking()


def test_a_lost_nodes_word_is_not_taken_for_a_driver_that_runs(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csi, "ask_for_object", lambda *_: {"spec": {"drivers": [{"name": csi.DRIVERS["ebs"]}]}})
    monkeypatch.setattr(csi, "environment", dict)
    driver = CsiDriver(ControlPlane(layout, Path()), Path(), "ebs", [CsiNode("storage-tiers-2", "zone", layout.kubelet_root)])
    with pytest.raises(MachineError, match="has ended while the cluster was starting"):
        driver.wait_until_registered()
