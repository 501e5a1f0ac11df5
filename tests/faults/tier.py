"""Tiers for the canary to prove, on the throw-away cluster: classes of the tests' own, with steps
that a test can go one by one.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from kubernetes import client

from components.canary import probe
from components.canary.driver import open_api
from components.canary.plan import ProofPlan
from components.canary.run import Proof
from components.canary.watch import Timeouts
from components.canary.words import NotProven
from devkube.cluster import NodeFolder
from devkube.images import reference
from tests.conftest import eventually

NAMESPACE = "faults-canary"
PROBE = "probe"
# What takes a minute in the field must not here. A mount still has the time for a second attempt of
# the kubelet: when its first one comes before the API server's authorizer knows that the claim is
# this node's, the next is 10 to 15 s later (backOffPeriod and workerBackOffPeriodJitterFactor in
# pkg/kubelet of Kubernetes 1.34).
SHORT = Timeouts(scheduling=5, provisioning=10, image=2, mount=20, log=60)


class Tiers:
    """Makes classes, and canaries of them. `say` collects what the canaries say.

    `folder` has the volumes: of a Kind cluster it is mounted into the node, under another path.
    """

    def __init__(self, context: str, folder: NodeFolder, core: client.CoreV1Api, storage: client.StorageV1Api) -> None:
        self.context = context
        self.folder = folder
        self.core = core
        self.storage = storage
        self.said: list[str] = []

    @property
    def volumes(self) -> Path:
        """The folder with the volumes on this machine."""
        return self.folder.here

    def make_namespace(self) -> None:
        """The canary's namespace and its probe, as the program makes them."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.core.create_namespace({"metadata": {"name": NAMESPACE, "labels": labels}})
        content = {probe.__name__.rpartition(".")[2] + ".py": Path(probe.__file__).read_text()}
        self.core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": PROBE}, "data": content})

    def remove_namespace(self) -> None:
        """And everything in it."""
        self.core.delete_namespace(NAMESPACE)
        eventually(lambda: NAMESPACE not in [each.metadata.name for each in self.core.list_namespace().items], "the namespace is gone")

    @contextmanager
    def storage_class(self, name: str, *, folder: str = "", kind: str = "local") -> Iterator[str]:
        """A class whose volumes are in `folder` of the volumes' folder, or in that itself.

        `kind` is local or hostPath.
        """
        manifest = {
            "metadata": {"name": name, "annotations": {"defaultVolumeType": kind}},
            "provisioner": "rancher.io/local-path",
            "reclaimPolicy": "Retain",
            "volumeBindingMode": "WaitForFirstConsumer",
            "parameters": {"pathPattern": f"{folder}/{{{{ .PVName }}}}"} if folder else {},
        }
        self.storage.create_storage_class(manifest)
        try:
            yield name
        finally:
            self.storage.delete_storage_class(name)

    def canary(self, profile: str, storage_class: str, *, timeouts: Timeouts = SHORT, **changes: Any) -> Proof:
        """A canary of a tier that is named after its profile; `changes` are to its plan."""
        plan = ProofPlan(
            self.context,
            NAMESPACE,
            "faults",
            profile,
            profile,
            storage_class,
            reference("python"),
            PROBE,
            size=2**30,
            sizes_enforced=False,
        )
        return Proof(open_api(self.context), replace(plan, **changes), self.said.append, timeouts)

    @contextmanager
    def at_work(self, canary: Proof) -> Iterator[Proof]:
        """A canary with its claim, cleaned up afterwards: then no pod, claim, volume or directory
        of it is left.
        """
        canary.sweep()
        canary.make_claim()
        assert canary.claim
        uid = canary.claim["metadata"]["uid"]
        try:
            yield canary
        finally:
            canary.clean_up(wait=True)
        self.assert_clean(uid, canary)

    def assert_clean(self, claim_uid: str, canary: Proof) -> None:
        """Nothing of this run is left."""
        here = {"namespace": NAMESPACE, "label_selector": f"storage-tiers/run={canary.run}"}
        eventually(lambda: not self.core.list_namespaced_pod(**here).items, "the canary's pods are gone", 30)
        assert not self.core.list_namespaced_persistent_volume_claim(**here).items, self.said[-5:]
        volumes = [each for each in self.core.list_persistent_volume().items if each.spec.claim_ref.uid == claim_uid]
        assert not volumes, self.said[-5:]
        if canary.volume:
            assert not self.root_of(canary).exists()

    def root_of(self, canary: Proof) -> Path:
        """The directory of the canary's volume on this machine."""
        assert canary.volume
        spec = canary.volume["spec"]
        return here(self.folder, (spec.get("local") or spec["hostPath"])["path"])

    def folder_of(self, canary: Proof) -> Path:
        """The canary's own folder in its volume."""
        return self.root_of(canary) / probe.FOLDER

    def put_back(self, kept: Path, canary: Proof) -> None:
        """Replace the canary's folder by a copy of another one, owners and modes included."""
        shutil.rmtree(self.folder_of(canary))
        copy_tree(kept, self.folder_of(canary))


def here(folder: NodeFolder, path: str) -> Path:
    """A directory below the volumes' folder, which the node has under this path, on this
    machine.
    """
    return folder.here / PurePosixPath(path).relative_to(folder.in_node)


def read(canary: Proof) -> None:
    """The steps after the writing pod. Raises NotProven."""
    canary.read_back_and_kill()
    canary.read_what_was_acknowledged()


def sentence_of(step: Callable[[], object]) -> str:
    """What the canary says is wrong; empty where it says that nothing is."""
    try:
        step()
    except NotProven as problem:
        return problem.sentence
    return ""


def copy_tree(source: Path, target: Path) -> None:
    """A copy with owners and modes."""
    shutil.copytree(source, target)
    for original in [source, *source.rglob("*")]:
        found = original.stat()
        copy = target / original.relative_to(source)
        shutil.chown(copy, found.st_uid, found.st_gid)
        copy.chmod(found.st_mode & 0o7777)


def seeded(text: str) -> random.Random:
    """Random numbers that are the same in every run of a test."""
    return random.Random(text)
