"""What the machine itself gives: disk, memory, inotify, cgroups, ports."""

from __future__ import annotations

from collections.abc import Iterator

from dev.doctor.diagnosis import Diagnosis
from dev.doctor.facts import ClusterFacts, Disk, Facts, Inotify
from dev.doctor.tried import KIND_NEEDS_CGROUP_V2, LAST_WITH_CGROUP_V1, NODE_INOTIFY, numbers
from devkube.cluster.embedded import INOTIFY_INSTANCES, LEAST_DISK

_GIB = 2**30
LEAST_MEMORY = 4 * 10**9  # bytes of the whole machine: docs/windows.md
_MEMORY_SLACK = 0.9  # of what a machine is sold with, the kernel keeps a part
LEAST_CACHE = 1 * _GIB  # engine, plugins, node and images: 998 MB were measured
# With it kind's own documentation begins to speak of too little for a node:
# https://kind.sigs.k8s.io/docs/user/known-issues/#pod-errors-due-to-too-many-open-files
LEAST_WATCHES = 8192


def diagnose(facts: Facts) -> Iterator[Diagnosis]:
    """Rows for each disk, memory, inotify and cgroups where the system has them, and ports."""
    for disk in facts.disks:
        yield _disk(disk, facts.cluster)
    yield from _memory(facts)
    yield from _inotify(facts)
    yield from _cgroups(facts)
    yield from _ports(facts.cluster)


def _to_be_started(cluster: ClusterFacts | None) -> bool:
    """Whether the next `make up` starts a cluster on this machine."""
    return cluster is not None and cluster.way in ("kind", "embedded") and not cluster.running


def _disk(disk: Disk, cluster: ClusterFacts | None) -> Diagnosis:
    least = LEAST_CACHE if disk.what == "cache" else LEAST_DISK
    found = f"{disk.free / _GIB:.1f} GiB free for {disk.folder}"
    if disk.free >= least:
        return Diagnosis(f"disk: {disk.what}", "good", found)
    # A full cache is no fault while everything is in it; the node refuses to start on a full disk.
    fails = disk.what == "volumes" and _to_be_started(cluster)
    mend = "docker system prune" if disk.what == "Docker" else f"free some: du -xh --max-depth=2 {disk.folder.anchor} | sort -h | tail"
    return Diagnosis(f"disk: {disk.what}", "missing", f"{found}, and {least / _GIB:.0f} GiB are needed", mend, fails)


def _memory(facts: Facts) -> Iterator[Diagnosis]:
    of_docker = facts.docker.memory if facts.docker and facts.cluster and facts.cluster.way == "kind" else 0
    memory = of_docker or facts.memory
    if memory:
        found = f"{memory / _GIB:.1f} GiB{' in the machine of Docker' if of_docker else ''}"
        if memory >= LEAST_MEMORY * _MEMORY_SLACK:
            yield Diagnosis("memory", "good", found)
        else:
            mend = "give it 4 GB; Docker Desktop: Settings, Resources; WSL2: docs/windows.md"
            yield Diagnosis("memory", "missing", f"{found}, and 4 GB are needed", mend)


def _inotify(facts: Facts) -> Iterator[Diagnosis]:
    if facts.inotify is None:
        return
    yield _instances(facts, facts.inotify)
    watches = f"{facts.inotify.watches} (fs.inotify.max_user_watches)"
    if facts.inotify.watches >= LEAST_WATCHES:
        yield Diagnosis("inotify watches", "good", watches)
    else:
        mend = "sudo sysctl fs.inotify.max_user_watches=524288"
        yield Diagnosis("inotify watches", "missing", f"{watches}, and {LEAST_WATCHES} are needed", mend)


def _instances(facts: Facts, inotify: Inotify) -> Diagnosis:
    subject, cluster = "inotify instances", facts.cluster
    of = f"{inotify.instances} for each user (fs.inotify.max_user_instances)"
    if not _to_be_started(cluster):
        return Diagnosis(subject, "good", of)
    by_kind = cluster is not None and cluster.way == "kind"
    need = NODE_INOTIFY if by_kind else INOTIFY_INSTANCES
    mend = "sudo sysctl fs.inotify.max_user_instances=512"
    if facts.root or not by_kind:
        found = f"at least {inotify.left} left of {of}; a node takes up to {need}"
        if inotify.left >= need:
            return Diagnosis(subject, "good", found)
        return Diagnosis(subject, "missing", found.removeprefix("at least "), mend, fails=True)
    # The node's are root's, of which nobody else sees how many are left: other nodes take as many
    # each, and what else root runs is given as many, too.
    nodes = facts.docker.nodes if facts.docker else 0
    found = f"{of}; root's are taken by {nodes} nodes of Kind, up to {need} each, and a node is to be started"
    if inotify.instances >= need * (nodes + 2):
        return Diagnosis(subject, "good", found)
    return Diagnosis(subject, "missing", found, mend, fails=inotify.instances < need * (nodes + 1))


def _cgroups(facts: Facts) -> Iterator[Diagnosis]:
    cluster = facts.cluster
    by_kind = cluster is not None and cluster.way == "kind"
    if by_kind and facts.docker and facts.docker.cgroups:
        found, new = f"v{facts.docker.cgroups}, as Docker says", facts.docker.cgroups == 2
    elif facts.cgroups:
        found, new = facts.cgroups, facts.cgroups == "v2"
    else:
        return
    if new or not by_kind or cluster is None or cluster.made:
        yield Diagnosis("cgroups", "good", found)
        return
    version = facts.kind.version if facts.kind else ""
    if not version or numbers(version) < KIND_NEEDS_CGROUP_V2:
        yield Diagnosis("cgroups", "good", f"{found}, which Kubernetes takes up to {LAST_WITH_CGROUP_V1}")
        return
    yield Diagnosis(
        "cgroups",
        "old",
        f"{found}, and the Kubernetes of kind {version} refuses to start on it (it takes v1 up to {LAST_WITH_CGROUP_V1})",
        f"boot with systemd.unified_cgroup_hierarchy=1, or give kind a node image of Kubernetes {LAST_WITH_CGROUP_V1}",
        fails=True,
    )


def _ports(cluster: ClusterFacts | None) -> Iterator[Diagnosis]:
    if cluster is None or cluster.way != "embedded" or not cluster.made or cluster.running:
        return
    if not cluster.taken_ports:
        yield Diagnosis("ports", "good", "those of the stopped cluster are free on 127.0.0.1")
        return
    taken = ", ".join(map(str, cluster.taken_ports))
    found = f"something else listens on 127.0.0.1, on the stopped cluster's port {taken}"
    yield Diagnosis("ports", "missing", found, f"end what this shows: ss -tlnp 'sport = {cluster.taken_ports[0]}'", fails=True)
