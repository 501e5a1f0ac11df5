"""What the machine itself gives: disk, memory, inotify, cgroups, ports."""

from __future__ import annotations

from collections.abc import Iterator

from dev.doctor.diagnosis import Diagnosis
from dev.doctor.facts import ClusterFacts, Disk, Facts, Inotify
from devkube.cluster.embedded import LEAST_DISK, inotify_instances
from devkube.cluster.kind.checks import NODE_INOTIFY_INSTANCES, ON_CGROUP_V1

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
    if facts.memory:
        found = f"{facts.memory / _GIB:.1f} GiB"
        if facts.memory >= LEAST_MEMORY * _MEMORY_SLACK:
            yield Diagnosis("memory", "good", found)
        else:
            yield Diagnosis("memory", "missing", f"{found}, and 4 GB are needed", "give the machine more; in WSL2: docs/windows.md")


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
    if cluster is None or not _to_be_started(cluster):
        return Diagnosis(subject, "good", of)
    refusal = cluster.refusals.get("inotify instances", "")
    need = cluster.nodes * NODE_INOTIFY_INSTANCES if cluster.way == "kind" else inotify_instances(cluster.nodes)
    takes = f"a node takes up to {need}" if cluster.nodes == 1 else f"{cluster.nodes} nodes take up to {need}"
    if cluster.way == "embedded" and inotify.left < need:
        refusal = f"{inotify.left} left of {of}, and {takes}"
    if refusal:
        return Diagnosis(subject, "missing", refusal, "sudo sysctl fs.inotify.max_user_instances=512", fails=True)
    return Diagnosis(subject, "good", f"{of}; {takes}")


def _cgroups(facts: Facts) -> Iterator[Diagnosis]:
    cluster = facts.cluster
    refusal = cluster.refusals.get("cgroups", "") if cluster else ""
    if refusal:
        yield Diagnosis("cgroups", "old", refusal, f"{facts.up} KIND_IMAGE={ON_CGROUP_V1}", fails=True)
    elif facts.cgroups:
        yield Diagnosis("cgroups", "good", facts.cgroups)


def _ports(cluster: ClusterFacts | None) -> Iterator[Diagnosis]:
    if cluster is None or cluster.way != "embedded" or not cluster.made or cluster.running:
        return
    if not cluster.taken_ports:
        yield Diagnosis("ports", "good", "those of the stopped cluster are free on 127.0.0.1")
        return
    taken = ", ".join(map(str, cluster.taken_ports))
    found = f"something else listens on 127.0.0.1, on the stopped cluster's port {taken}"
    yield Diagnosis("ports", "missing", found, f"end what this shows: ss -tlnp 'sport = {cluster.taken_ports[0]}'", fails=True)
