"""The doctor's rows: what each fact means, in each of its states, and what is said to mend it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dev.doctor import parts, proxies
from dev.doctor.diagnosis import Diagnosis
from dev.doctor.facts import ClusterFacts, Disk, DockerFacts, Facts, FoundProgram, Inotify, PartFacts
from dev.doctor.rows import diagnose
from devkube.cluster.kind.checks import ON_CGROUP_V1, DockerEngine
from devkube.versions import COMMAND, GOOD, KUBERNETES, LANGUAGE, PULUMI

KEPT = PartFacts(kept="3.258.0, built here")
ENGINE = DockerEngine("28.2.2", "2", "6.1.0", "Debian", "/var/lib/docker", "x86_64")
DOCKER = DockerFacts("/usr/bin/docker", "28.2.2", "unix:///var/run/docker.sock", ENGINE)
KIND = FoundProgram("/usr/bin/kind", "0.33.0")
BY_KIND = ClusterFacts("dev", "kind", volumes=Path("/home/me/volumes"))
EMBEDDED = ClusterFacts("dev", "embedded", volumes=Path("/var/lib/volumes"))
OWN = ClusterFacts("prod", "existing", made=True, running=True, server="https://10.0.0.7:6443")
LOOK = "kubectl --context prod get --raw /version"
GIB = 2**30
WELL = Facts(
    python="3.12.1",
    packages={"pulumi": "3.258.0"},
    parts={PULUMI: KEPT, LANGUAGE: KEPT, KUBERNETES: KEPT, COMMAND: KEPT},
    go=FoundProgram("/usr/bin/go", "1.99.0"),
    builds_with="go1.99.0",
    docker=DOCKER,
    kind=KIND,
    cluster=replace(BY_KIND, made=True, running=True, server="https://127.0.0.1:6443", version="1.99.1"),
    memory=8 * GIB,
    disks=(Disk("cache", Path("/home/me/.cache"), 50 * GIB), Disk("volumes", Path("/home/me/volumes"), 50 * GIB)),
    inotify=Inotify(512, 100000, 26),
    cgroups="v2",
)


def row(subject: str, facts: Facts) -> Diagnosis:
    [found] = [each for each in diagnose(facts) if each.subject == subject]
    return found


def test_nothing_is_wrong_where_all_is_well() -> None:
    assert [each.subject for each in diagnose(WELL) if each.state != "good" or each.fails or each.mend] == []


def test_no_answer_in_time_is_no_failure() -> None:
    unanswered = diagnose(Facts(parts=dict.fromkeys(WELL.parts)))
    silent = [each for each in unanswered if each.found == "no answer in time"]
    assert [each.subject for each in silent] == [*parts.NAMES.values(), "Go", "cluster", "Docker", "kind"]
    assert all(each.state == "missing" and each.mend for each in silent)
    assert not any(each.fails for each in unanswered)


@pytest.mark.parametrize("name", parts.NAMES)
@pytest.mark.parametrize(
    ("version", "kept", "state", "used"),
    [
        ("above", "", "good", ""),
        ("", "3.258.0, built here", "good", ""),
        ("", "", "missing", ""),
        ("below", "3.258.0, built here", "old", "3.258.0, built here is used instead"),
        ("below", "", "old", ""),
        ("99.0.0", "", "missing", "is needed"),
        ("unknown", "3.258.0, built here", "missing", "doesn't say its version; 3.258.0, built here is used instead"),
    ],
)
def test_parts_of_the_engine(name: str, version: str, kept: str, state: str, used: str) -> None:
    """None of it makes `make up` fail: it gets what isn't there, and uses only what is good."""
    major, minor = GOOD[name].oldest
    versions = {"above": f"{major}.{minor}.5", "below": f"{major - (minor == 0)}.{minor - 1 if minor else 9}.9", "unknown": ""}
    own = FoundProgram(f"/opt/{name}", versions.get(version, version)) if version else None
    found = row(parts.NAMES[name], replace(WELL, parts={**WELL.parts, name: PartFacts(own, kept)}))
    assert (found.state, found.fails) == (state, False)
    assert used in found.found
    assert bool(found.mend) == (state != "good")


@pytest.mark.parametrize(
    ("go", "builds_with", "needed", "state", "mend"),
    [
        (FoundProgram("/usr/bin/go", "1.99.0"), "go1.99.0", True, "good", ""),
        (FoundProgram("/usr/bin/go", "1.99.0"), "go1.99.0 X:nocoverageredesign", True, "good", ""),
        (FoundProgram(), "go1.26.6", False, "good", ""),
        (FoundProgram(), "go1.26.6", True, "missing", "make up"),
        (FoundProgram("/usr/bin/go", "1.19.8"), "go1.26.6", True, "old", "https://go.dev/dl"),
        (FoundProgram("/usr/bin/go"), "go1.26.6", False, "old", "https://go.dev/dl"),
        (FoundProgram("/usr/bin/go"), "", False, "missing", "go version"),
    ],
)
def test_go(*, go: FoundProgram, builds_with: str, needed: bool, state: str, mend: str) -> None:
    parts_ = {**WELL.parts, PULUMI: PartFacts() if needed else KEPT}
    found = row("Go", replace(WELL, go=go, builds_with=builds_with, parts=parts_))
    assert (found.state, found.fails) == (state, False) and mend in found.mend


@pytest.mark.parametrize(
    ("cluster", "state", "fails", "said", "mend"),
    [
        (replace(OWN, version="1.99.0"), "good", False, "Kubernetes 1.99.0, your own, context prod", ""),
        (replace(OWN, version="1.21.0"), "old", False, "the oldest that was tried", ""),
        (
            replace(OWN, unreached="Connection refused"),
            "missing",
            True,
            "(Connection refused)",
            "kubectl --context prod get --raw /version",
        ),
        (OWN, "missing", False, "no answer in time", "kubectl --context prod get --raw /version"),
        (
            ClusterFacts("c", None, "there is no cluster for c", "Start Docker."),
            "missing",
            True,
            "there is no cluster for c",
            "Start Docker.",
        ),
        (BY_KIND, "missing", False, "not made yet", "make up"),
        (replace(EMBEDDED, made=True), "missing", False, "stopped", "make up"),
        (replace(BY_KIND, made=True, running=True), "missing", False, "does not answer", "make up"),
    ],
)
def test_the_cluster(cluster: ClusterFacts, state: str, fails: bool, said: str, mend: str) -> None:
    found = row("cluster", replace(WELL, cluster=cluster))
    assert (found.state, found.fails, found.mend) == (state, fails, mend) and said in found.found


REMOTE = replace(DOCKER, endpoint="ssh://me@build", elsewhere="Docker is on another machine")


@pytest.mark.parametrize(
    ("docker", "state", "said", "mend"),
    [
        (DOCKER, "good", "engine 28.2.2, client 28.2.2, Debian at unix:///var/run/docker.sock", ""),
        (replace(DOCKER, engine=replace(ENGINE, version="19.3.1")), "old", "20.10 is the oldest", "docs.docker.com"),
        (DockerFacts(), "missing", "not on PATH", "docs.docker.com"),
        (replace(DOCKER, engine=None, silent="it does not answer"), "missing", "does not answer", "sudo systemctl start docker"),
        (replace(DOCKER, engine=None, silent="permission denied while"), "missing", "permission denied", "usermod -aG docker"),
        (replace(DOCKER, engine=None), "missing", "says nothing", "docker info"),
        (replace(DOCKER, not_docker="`docker` on PATH is not Docker"), "missing", "is not Docker", "docs.docker.com"),
        (REMOTE, "missing", "another machine", "docker context use default"),
        (replace(DOCKER, elsewhere="this runs in a container"), "missing", "in a container", "docker-in-docker"),
    ],
)
@pytest.mark.parametrize("cluster", [BY_KIND, EMBEDDED])
def test_docker(docker: DockerFacts, state: str, said: str, mend: str, cluster: ClusterFacts) -> None:
    """Only a Kind cluster fails without it."""
    found = row("Docker", replace(WELL, docker=docker, cluster=cluster))
    assert (found.state, found.fails) == (state, state == "missing" and cluster is BY_KIND)
    assert said in found.found and mend in found.mend


def test_docker_that_a_variable_sends_elsewhere() -> None:
    sent = replace(REMOTE, by_variable=True, engine=None)
    assert row("Docker", replace(WELL, docker=sent)).mend == "unset DOCKER_HOST"
    assert row("cluster", replace(WELL, docker=sent, cluster=None)).mend == "unset DOCKER_HOST"


@pytest.mark.parametrize(
    ("kind", "other", "state", "mend"),
    [
        (KIND, "", "good", ""),
        (replace(KIND, version="0.20.0"), "", "old", "go install sigs.k8s.io/kind@v0.33.0"),
        (replace(KIND, version=""), "", "old", "go install sigs.k8s.io/kind@v0.33.0"),
        (FoundProgram(), "", "missing", "go install sigs.k8s.io/kind@v0.33.0"),
        (KIND, "KIND_EXPERIMENTAL_PROVIDER=podman: needs Docker", "missing", "unset KIND_EXPERIMENTAL_PROVIDER"),
    ],
)
@pytest.mark.parametrize("cluster", [BY_KIND, EMBEDDED])
def test_kind(kind: FoundProgram, other: str, state: str, mend: str, cluster: ClusterFacts) -> None:
    found = row("kind", replace(WELL, kind=kind, other_provider=other, cluster=cluster))
    assert (found.state, found.fails) == (state, state == "missing" and cluster is BY_KIND)
    assert mend in found.mend and other in found.found


@pytest.mark.parametrize(
    ("lacks", "cluster", "state", "fails", "mend"),
    [
        ((), EMBEDDED, "good", False, ""),
        (("it needs root (run it with sudo)",), EMBEDDED, "missing", True, "sudo make up"),
        (("it needs Linux (this is darwin)",), BY_KIND, "missing", False, "use kind, or a cluster of your own"),
    ],
)
def test_the_embedded_node(lacks: tuple[str, ...], cluster: ClusterFacts, state: str, fails: bool, mend: str) -> None:
    found = row("embedded node", replace(WELL, embedded_lacks=lacks, cluster=cluster))
    assert (found.state, found.fails, found.mend) == (state, fails, mend)


@pytest.mark.parametrize(
    ("cluster", "variables", "said"),
    [
        (None, "", "none are set"),
        (OWN, "", "none are set; the API https://10.0.0.7:6443 is reached directly"),
        (None, "HTTPS_PROXY=http://proxy:3128", "HTTPS_PROXY=http://proxy:3128"),
        (
            replace(OWN, proxy="http://proxy:3128 (HTTPS_PROXY)"),
            "X=y",
            "X=y; the API https://10.0.0.7:6443 is reached through http://proxy:3128 (HTTPS_PROXY)",
        ),
    ],
)
def test_proxies_are_only_reported(cluster: ClusterFacts | None, variables: str, said: str) -> None:
    assert list(proxies.diagnose(Facts(cluster=cluster, proxies=variables))) == [Diagnosis("proxies", "good", said)]


@pytest.mark.parametrize(
    ("what", "free", "cluster", "state", "fails"),
    [
        ("cache", 2 * GIB, BY_KIND, "good", False),
        ("cache", GIB // 2, BY_KIND, "missing", False),
        ("volumes", 3 * GIB, EMBEDDED, "good", False),
        ("volumes", GIB, EMBEDDED, "missing", True),
        ("volumes", GIB, replace(EMBEDDED, made=True, running=True), "missing", False),
        ("Docker", GIB, BY_KIND, "missing", False),
    ],
)
def test_disks(what: str, free: int, cluster: ClusterFacts, state: str, fails: bool) -> None:
    found = row(f"disk: {what}", replace(WELL, cluster=cluster, disks=(Disk(what, Path("/somewhere"), free),)))
    assert (found.state, found.fails, bool(found.mend)) == (state, fails, state != "good")


@pytest.mark.parametrize(("memory", "state", "said"), [(8 * GIB, "good", "8.0 GiB"), (2 * GIB, "missing", "2.0 GiB, and 4 GB are needed")])
def test_memory(memory: int, state: str, said: str) -> None:
    found = row("memory", replace(WELL, memory=memory))
    assert (found.state, found.fails) == (state, False) and said in found.found


SHORT = replace(BY_KIND, refusals={"inotify instances": "4 of the 128 are left"})


@pytest.mark.parametrize(
    ("left", "cluster", "state", "said"),
    [
        (20, BY_KIND, "good", "a node takes up to 26"),
        (20, SHORT, "missing", "4 of the 128 are left"),
        (20, EMBEDDED, "good", "a node takes up to 20"),
        (19, EMBEDDED, "missing", "19 left of 128"),
        (0, replace(EMBEDDED, made=True), "missing", "0 left of 128"),
        (0, replace(EMBEDDED, made=True, running=True), "good", "128 for each user"),
        (0, OWN, "good", "128 for each user"),
        (0, None, "good", "128 for each user"),
    ],
)
def test_inotify(left: int, cluster: ClusterFacts | None, state: str, said: str) -> None:
    """Only a cluster that is to be started fails without them."""
    found = row("inotify instances", replace(WELL, inotify=Inotify(128, 9000, left), cluster=cluster))
    assert (found.state, found.fails) == (state, state == "missing") and said in found.found
    assert found.mend == ("" if state == "good" else "sudo sysctl fs.inotify.max_user_instances=512")


@pytest.mark.parametrize(("watches", "state"), [(8192, "good"), (1024, "missing")])
def test_watches(watches: int, state: str) -> None:
    found = row("inotify watches", replace(WELL, inotify=Inotify(512, watches, 26)))
    assert (found.state, found.fails) == (state, False)


def test_no_row_about_what_other_systems_have() -> None:
    subjects = {each.subject for each in diagnose(replace(WELL, inotify=None, cgroups="", docker=DockerFacts()))}
    assert not subjects & {"inotify instances", "inotify watches", "cgroups", "ports"}


@pytest.mark.parametrize("cgroups", ["v1", "hybrid", "v2"])
def test_cgroups(cgroups: Any) -> None:
    for cluster in (BY_KIND, EMBEDDED, OWN, None):
        assert row("cgroups", replace(WELL, cgroups=cgroups, cluster=cluster)) == Diagnosis("cgroups", "good", cgroups)
    refused = replace(BY_KIND, refusals={"cgroups": "Docker uses cgroup v1 here"})
    found = row("cgroups", replace(WELL, cgroups=cgroups, cluster=refused))
    assert found == Diagnosis("cgroups", "old", "Docker uses cgroup v1 here", f"make up KIND_IMAGE={ON_CGROUP_V1}", fails=True)


@pytest.mark.parametrize(
    ("cluster", "states"),
    [
        (replace(EMBEDDED, made=True), ["good"]),
        (replace(EMBEDDED, made=True, taken_ports=(20001, 20007)), ["missing"]),
        (replace(EMBEDDED, made=True, running=True), []),
        (EMBEDDED, []),
        (OWN, []),
    ],
)
def test_ports(cluster: ClusterFacts, states: list[str]) -> None:
    found = [each for each in diagnose(replace(WELL, cluster=cluster)) if each.subject == "ports"]
    assert [each.state for each in found] == states
    for each in found:
        assert each.fails == (each.state == "missing")
        assert ("20001, 20007" in each.found and "sport = 20001" in each.mend) == each.fails


def test_whatever_isn_t_good_says_what_mends_it_or_that_it_was_never_tried() -> None:
    broken = Facts(
        parts=dict.fromkeys(WELL.parts, PartFacts()), go=FoundProgram(), docker=DockerFacts(), kind=FoundProgram(), cluster=BY_KIND
    )
    for each in diagnose(broken):
        assert each.mend or each.state == "good", each


def test_another_stack_has_its_own_command() -> None:
    bare = replace(WELL, up="make up STACK=aws", cluster=BY_KIND, parts={PULUMI: PartFacts()}, go=FoundProgram())
    mends = {each.subject: each.mend for each in diagnose(bare) if each.mend}
    assert mends == dict.fromkeys(("engine", "Go", "cluster"), "make up STACK=aws")


def test_one_row_as_make_up_says_it() -> None:
    assert str(Diagnosis("disk", "missing", "1 GiB free", "df", fails=True)) == "disk: missing: 1 GiB free. Mend it: df"
    assert str(Diagnosis("disk", "good", "9 GiB free")) == "disk: good: 9 GiB free."


@pytest.mark.parametrize(
    ("left", "cluster", "state", "said"),
    [
        (32, replace(EMBEDDED, nodes=3), "good", "3 nodes take up to 32"),
        (31, replace(EMBEDDED, nodes=3), "missing", "31 left of 128"),
        (20, replace(BY_KIND, nodes=3), "good", "3 nodes take up to 78"),
    ],
)
def test_inotify_for_several_nodes(left: int, cluster: ClusterFacts, state: str, said: str) -> None:
    found = row("inotify instances", replace(WELL, inotify=Inotify(128, 9000, left), cluster=cluster))
    assert found.state == state and said in found.found
