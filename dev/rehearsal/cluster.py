"""The throw-away cluster of a rehearsal.

An embedded one with the cloud's driver on real disks, where this machine and the stack let it be.
Else one whose local provisioner answers to the driver's name: volumes are folders then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.kube.api import KubeApi
from components.settings import Settings
from dev.paths import CLUSTER_FILE, KUBECONFIG
from devkube import paths
from devkube.cluster import Access, EmbeddedCluster, KindCluster, csi, embedded, kind, remembered
from devkube.cluster.csi import Flavour
from devkube.cluster.layout import MOST_NODES
from devkube.errors import MachineError
from devkube.images import build_image
from devkube.toolchain.build import build

CONTEXT = "storage-tiers-rehearsal"


@dataclass(frozen=True)
class Disks:
    """The real disks of a rehearsal: the cloud whose driver makes them, and the nodes' zones.

    There is one node more than zones, in the first one's, as far as a cluster takes so many.
    """

    flavour: Flavour
    zones: tuple[str, ...]

    @property
    def nodes(self) -> int:
        """How many nodes the cluster has."""
        return min(len(self.zones) + 1, MOST_NODES)


def disks_for(settings: Settings) -> Disks | str:
    """The real disks for a stack, or why there are none, in words. Builds their driver."""
    names = drivers(settings)
    flavour = next((flavour for flavour, name in csi.DRIVERS.items() if names == (name,)), None)
    if flavour is None:
        return f"{' and '.join(names)} is not one of the drivers that are rehearsed on disks ({', '.join(csi.DRIVERS.values())})"
    if _on_kind():
        return "the cluster is a Kind one, and disks are for an embedded one (`make up CLUSTER=embedded`, Linux as root)"
    if missing := csi.lacking():
        return "; ".join(missing)
    try:
        csi.prepare()
    except MachineError as problem:
        return f"their driver can't be had: {problem}".replace("\n", "\n    ")
    zones = dict.fromkeys(zone for tier in settings.tiers for zone in zones_of(settings, tier))
    return Disks(flavour, tuple(zones)[:MOST_NODES] or csi.ZONES[flavour])


def zones_of(settings: Settings, tier: str) -> list[str]:
    """The zones to which a tier's class restricts its volumes; empty for none."""
    return [zone for expression in _topologies(settings, tier) for zone in expression["values"]]


def drivers(settings: Settings) -> tuple[str, ...]:
    """The names that the classes of the stack have for their driver."""
    provisioner = settings.provisioner
    named = (provisioner.storage_class(tier.parameters).driver or provisioner.driver for tier in settings.tiers.values())
    return tuple(dict.fromkeys(named))


def node_labels(settings: Settings) -> dict[str, str]:
    """What a node must be labelled for every class of the stack to find it.

    That is the first value for each topology key.
    """
    labels: dict[str, str] = {}
    for tier in settings.tiers:
        for expression in _topologies(settings, tier):
            labels.setdefault(expression["key"], expression["values"][0])
    return labels


def _topologies(settings: Settings, tier: str) -> list[Any]:
    terms: Any = settings.provisioner.storage_class(settings.tiers[tier].parameters).allowed_topologies
    return [each for term in terms for each in term["match_label_expressions"]]


def label_nodes(api: KubeApi, labels: dict[str, str]) -> None:
    """Give the nodes the labels of a zone."""
    for node in api.get("/api/v1/nodes")["items"] if labels else []:
        api.patch(f"/api/v1/nodes/{node['metadata']['name']}", {"metadata": {"labels": labels}})


def lacking() -> str:
    """What is missing for a cluster of the rehearsal's own, in words; empty where nothing is."""
    return "; ".join(kind.lacking() if _on_kind() else embedded.lacking())


def _on_kind() -> bool:
    """Whether the clone's own cluster is a Kind one, or would be: then the rehearsal's is too."""
    way = remembered(CLUSTER_FILE).cluster
    made = KindCluster(f"dev-{paths.clone_identity()}", CONTEXT, KUBECONFIG).exists()
    return way == "kind" or (way != "embedded" and (made or bool(embedded.lacking())))


def throw_away(kubeconfig: Path, names: tuple[str, ...], disks: Disks | None = None) -> EmbeddedCluster | KindCluster:
    """The cluster, which is not started: with `disks`, or a local provisioner for each of these
    names."""
    identity = f"rehearse-{paths.clone_identity()}"
    if disks:
        return EmbeddedCluster(identity, CONTEXT, kubeconfig, provisioners=(), nodes=disks.nodes, zones=disks.zones, driver=disks.flavour)
    if not _on_kind():
        return EmbeddedCluster(identity, CONTEXT, kubeconfig, provisioners=names)
    asked = remembered(CLUSTER_FILE)
    return KindCluster(identity, CONTEXT, kubeconfig, image=asked.kind_image, config=asked.kind_config, provisioners=names)


@contextmanager
def running(cluster: EmbeddedCluster | KindCluster) -> Iterator[Access]:
    """The cluster while it runs, with the images of canaries and consumers; it is deleted before
    and after.

    Raises MachineError where that fails, with what went wrong before it.
    """
    cluster.delete()  # what a rehearsal that was killed has left
    try:
        access = cluster.start()
        for image in ("python", "busybox"):
            cluster.load_image(build_image(image))
        yield access
    except BaseException as problem:
        try:
            cluster.delete()
        except MachineError as left:
            before = f"{problem}\nThen " if str(problem) else ""
            raise MachineError(f"{before}the cluster could not be deleted: {left.message}", left.hint) from problem
        raise
    cluster.delete()


def kubectl(cluster: EmbeddedCluster | KindCluster) -> list[str]:
    """The command line of a kubectl for the cluster; on Kind the node's own."""
    if isinstance(cluster, KindCluster):
        return cluster.kubectl()
    return [str(build("node") / "kubectl"), f"--kubeconfig={cluster.kubeconfig}", f"--context={cluster.context}"]
