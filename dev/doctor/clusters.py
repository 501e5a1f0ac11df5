"""The stack's cluster, and what this machine has to make one: Docker and kind, or what an embedded
node takes."""

from __future__ import annotations

from collections.abc import Iterator

from dev.doctor.diagnosis import Diagnosis
from dev.doctor.facts import ClusterFacts, DockerFacts, Facts
from dev.doctor.tried import OLDEST_DOCKER, OLDEST_KIND, numbers
from devkube.toolchain.build import KUBERNETES_VERSION

_WAYS = {"existing": "your own", "kind": "Kind", "embedded": "embedded"}
_RESTART_DOCKER = "sudo systemctl restart docker, or restart Docker Desktop"
_DOCKER_SITE = "https://docs.docker.com/get-started/get-docker"
_KIND_SITE = "https://kind.sigs.k8s.io/docs/user/quick-start"


def diagnose(facts: Facts) -> Iterator[Diagnosis]:
    """Rows for the cluster, Docker, kind and the embedded node."""
    by_kind = facts.cluster is not None and facts.cluster.way == "kind"
    yield _cluster(facts.cluster, facts.up, facts.docker)
    yield _docker(facts, needed=by_kind)
    yield _kind(facts, needed=by_kind)
    yield _embedded(facts)


def _cluster(cluster: ClusterFacts | None, up: str, docker: DockerFacts | None) -> Diagnosis:
    subject = "cluster"
    if cluster is None:
        mend = _mend_docker(docker) if docker and docker.elsewhere else _RESTART_DOCKER
        return Diagnosis(subject, "missing", "no answer in time", mend)
    if cluster.way is None:
        return Diagnosis(subject, "missing", cluster.problem.rstrip("."), cluster.remedy, fails=True)
    what = f"{_WAYS[cluster.way]}, context {cluster.context}"
    if cluster.version:
        found = f"Kubernetes {cluster.version}, {what}"
        if numbers(cluster.version) >= numbers(KUBERNETES_VERSION):
            return Diagnosis(subject, "good", found)
        return Diagnosis(subject, "old", f"{found}; {KUBERNETES_VERSION} is the oldest that was tried")
    if cluster.way == "existing":
        why = f"it does not answer ({cluster.unreached})" if cluster.unreached else "no answer in time"
        look = cluster.remedy or f"kubectl --context {cluster.context} get --raw /version"
        return Diagnosis(subject, "missing", f"{what}: {why}", look, fails=bool(cluster.unreached))
    state = "not made yet" if not cluster.made else "its API does not answer" if cluster.running else "stopped"
    return Diagnosis(subject, "missing", f"{what}: {state}", up)


def _docker(facts: Facts, *, needed: bool) -> Diagnosis:
    subject, docker = "Docker", facts.docker
    if docker is None:
        return Diagnosis(subject, "missing", "no answer in time", _RESTART_DOCKER)
    problem = "`docker` is not on PATH" if not docker.path else docker.not_docker or docker.elsewhere or docker.silent
    if problem:
        return Diagnosis(subject, "missing", problem, _mend_docker(docker), needed)
    if docker.engine is None:
        return Diagnosis(subject, "missing", f"{docker.path}: it says nothing of its engine", "docker info", needed)
    found = f"engine {docker.engine.version}, client {docker.client}, {docker.engine.system} at {docker.endpoint}"
    if numbers(docker.engine.version) < OLDEST_DOCKER:
        oldest = ".".join(map(str, OLDEST_DOCKER))
        return Diagnosis(subject, "old", f"{found}; {oldest} is the oldest that was tried", f"install a newer one: {_DOCKER_SITE}")
    return Diagnosis(subject, "good", found)


def _mend_docker(docker: DockerFacts) -> str:
    if not docker.path or docker.not_docker:
        return f"install it: {_DOCKER_SITE}"
    if docker.elsewhere and docker.endpoint.startswith("unix:"):
        return "run this on the host, or give the container an engine of its own (docker-in-docker)"
    if docker.elsewhere:
        return "unset DOCKER_HOST" if docker.by_variable else "docker context use default"
    if "permission denied" in docker.silent:
        return 'sudo usermod -aG docker "$USER", then log in again'
    return "sudo systemctl start docker, or start Docker Desktop"


def _kind(facts: Facts, *, needed: bool) -> Diagnosis:
    subject, kind = "kind", facts.kind
    oldest = ".".join(map(str, OLDEST_KIND))
    install = f"go install sigs.k8s.io/kind@v{oldest}.0, or {_KIND_SITE}"
    if kind is None:
        return Diagnosis(subject, "missing", "no answer in time", "kind version")
    if not kind.path:
        return Diagnosis(subject, "missing", "`kind` is not on PATH", install, needed)
    if facts.other_provider:
        return Diagnosis(subject, "missing", facts.other_provider, "unset KIND_EXPERIMENTAL_PROVIDER", needed)
    found = f"{kind.version or 'unknown version'}, {kind.path}"
    if numbers(kind.version) < OLDEST_KIND:
        return Diagnosis(subject, "old", f"{found}; {oldest} is the oldest that was tried", install)
    return Diagnosis(subject, "good", found)


def _embedded(facts: Facts) -> Diagnosis:
    needed = facts.cluster is not None and facts.cluster.way == "embedded"
    lacks = "; ".join(facts.embedded_lacks)
    if not lacks:
        return Diagnosis("embedded node", "good", "it can run here")
    return Diagnosis(
        "embedded node", "missing", lacks, f"sudo {facts.up}" if "root" in lacks else "use kind, or a cluster of your own", needed
    )
