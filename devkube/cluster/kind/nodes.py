"""The containers that are a Kind cluster's nodes: started, stopped, waited for, and their logs."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from devkube.cluster.kind.commands import ProgramFailed, answer, quoted, run
from devkube.errors import MachineError

# Kind labels its containers so (kind: pkg/cluster/internal/providers/docker/constants.go).
CLUSTER_LABEL = "io.x-k8s.kind.cluster"
_ROLE_LABEL = "io.x-k8s.kind.role"
# Kind's own policy. The closest that Docker has to "with the machine, and for no other reason".
_WITH_THE_DAEMON = "on-failure:1"
_STOP_SECONDS = 60
_RUNS = ("docker", "inspect", "--format", "{{.State.Running}}")
# Before this line a command in the node would be in the way of its cgroups (kind#2409).
_BOOTED = re.compile(r"Reached target .*Multi-User System|detected cgroup v1")
_YOUNG = timedelta(minutes=2)
# A container whose runtime is stopped under it is Unknown afterwards, and so is its pod: so pods
# are ended first, those of the cluster itself last.
_END_PODS = """
systemctl stop kubelet
end() { xargs --no-run-if-empty --max-args=1 --max-procs=32 crictl stop --timeout "$1" >/dev/null; }
system=$(crictl ps --quiet --label io.kubernetes.pod.namespace=kube-system)
crictl ps --quiet | grep --invert-match --line-regexp --fixed-strings "$system" | end 30
printf '%s\\n' "$system" | end 10
"""


@dataclass(frozen=True)
class KindNode:
    """A container of a Kind cluster."""

    identifier: str  # Docker's, in full
    name: str
    state: str  # Docker's: running, exited, created, paused, restarting, dead
    role: str  # control-plane, worker, external-load-balancer

    @property
    def runs(self) -> bool:
        """Whether its processes run now."""
        return self.state == "running"


def nodes_of(identity: str) -> list[KindNode]:
    """The containers of this cluster, running or not, the first control plane first.

    Raises ProgramFailed where Docker doesn't answer.
    """
    form = f'{{{{.ID}}}}\t{{{{.Names}}}}\t{{{{.State}}}}\t{{{{.Label "{_ROLE_LABEL}"}}}}'
    said = run("docker", "ps", "--all", "--no-trunc", "--filter", f"label={CLUSTER_LABEL}={identity}", "--format", form)
    found = [KindNode(*line.split("\t")) for line in said.splitlines() if line.count("\t") == 3]
    return sorted(found, key=lambda node: (node.role != "control-plane", node.name))


def running_everywhere() -> int:
    """How many nodes of all Kind clusters run; 0 where Docker doesn't answer."""
    return len((answer("docker", "ps", "--quiet", "--filter", f"label={CLUSTER_LABEL}") or "").split())


def kubernetes_nodes(nodes: Sequence[KindNode]) -> list[KindNode]:
    """Those that run a kubelet; a load balancer, which several control planes have, doesn't."""
    return [node for node in nodes if node.role != "external-load-balancer"]


def kubectl(node: KindNode, *arguments: str, stdin: str = "") -> str:
    """Run the node's own kubectl as the cluster's administrator: none is needed on the host."""
    interactive = ["--interactive"] if stdin else []
    words = ["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "--request-timeout=10s", *arguments]
    return run("docker", "exec", *interactive, node.name, *words, stdin=stdin, seconds=60)


def start_nodes(nodes: Sequence[KindNode]) -> None:
    """Start the containers, also after a stop that was to last."""
    names = [node.name for node in nodes]
    for node in nodes:
        if node.state == "paused":
            run("docker", "unpause", node.name)
    run("docker", "update", f"--restart={_WITH_THE_DAEMON}", *names)
    run("docker", "start", *names)


def stop_nodes(nodes: Sequence[KindNode]) -> None:
    """End the pods, then the nodes, so that every process ends by itself.

    It lasts: a restart of the Docker engine doesn't bring the nodes back.
    """
    names = [node.name for node in nodes if node.runs]
    run("docker", "update", "--restart=no", *(node.name for node in nodes))
    for node in kubernetes_nodes(nodes):
        if node.runs:
            # Of a damaged node, what still answers is ended; it is stopped in any case.
            answer("docker", "exec", node.name, "sh", "-c", _END_PODS, seconds=_STOP_SECONDS)
    if names:
        run("docker", "stop", "-t", str(_STOP_SECONDS), *names)


def wait_until_ready(identity: str, nodes: Sequence[KindNode], seconds: float = 180) -> None:
    """Wait until every node of the cluster is Ready, and has said so since it was started.

    Raises MachineError after `seconds`, or as soon as a container has ended.
    """
    deadline = time.monotonic() + seconds
    started = {node.name: _started(node) for node in kubernetes_nodes(nodes)}
    for node in kubernetes_nodes(nodes):
        _wait_until_booted(node, started[node.name], deadline)
    while True:
        try:
            waiting = _not_ready(json.loads(kubectl(nodes[0], "get", "nodes", "--output=json")), started)
        except ProgramFailed as problem:
            waiting = problem.said
        except ValueError as problem:
            waiting = str(problem)
        if not waiting:
            return
        ended = [node.name for node in nodes_of(identity) if not node.runs]
        if ended:
            raise MachineError(f"the Kind cluster {identity}: its container {', '.join(ended)} has ended while it was starting.")
        if time.monotonic() > deadline:
            raise MachineError(f"the Kind cluster {identity} is not ready after {seconds:.0f} s:\n{quoted(waiting, 10)}")
        time.sleep(1)


def _not_ready(listed: dict[str, object], started: dict[str, datetime]) -> str:
    """Which nodes are not Ready, in words; empty where all are."""
    items = listed.get("items")
    by_name = {item["metadata"]["name"]: item for item in items} if isinstance(items, list) else {}
    late = []
    for name, since in started.items():
        conditions = by_name.get(name, {}).get("status", {}).get("conditions", [])
        ready = next((each for each in conditions if each["type"] == "Ready"), None)
        # After a start the last run's word still stands there until the kubelet has spoken again.
        if ready is None or ready["status"] != "True":
            late.append(f"node {name} is not Ready: {(ready or {}).get('message', 'it has not joined')}")
        elif _time(ready["lastHeartbeatTime"]) < since.replace(microsecond=0):
            late.append(f"node {name} has not spoken since it was started")
    return "\n".join(late)


def _started(node: KindNode) -> datetime:
    said = answer("docker", "inspect", "--format", "{{.State.StartedAt}}", node.name) or ""
    with suppress(ValueError):
        return _time(said)
    return datetime.fromtimestamp(0, UTC)


def _time(text: str) -> datetime:
    """A time as Go and Kubernetes write it, to the second."""
    return datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)


def _wait_until_booted(node: KindNode, started: datetime, deadline: float) -> None:
    """Wait until a command may be run in a node that was started just now."""
    if datetime.now(UTC) - started > _YOUNG:
        return
    latest = min(deadline, time.monotonic() + 30)
    while time.monotonic() < latest:
        log = subprocess.run(
            ["docker", "logs", "--since", started.strftime("%Y-%m-%dT%H:%M:%SZ"), node.name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if log.returncode != 0 or _BOOTED.search(log.stdout) or answer(*_RUNS, node.name) == "false":
            return
        time.sleep(0.3)


def looks_whole(nodes: Sequence[KindNode], seconds: float = 60) -> bool | None:
    """Whether Kind came to its end with this cluster: its provisioner, and then the nodes that
    join, are the last that it makes.

    The containers must run. None where the cluster can't be asked within `seconds`.
    """
    node = nodes[0]
    deadline = time.monotonic() + seconds
    _wait_until_booted(node, _started(node), deadline)
    if answer("docker", "exec", node.name, "test", "-e", "/etc/kubernetes/admin.conf") is None:
        return False
    while True:
        try:
            kubectl(node, "get", "deployment", "local-path-provisioner", "--namespace=local-path-storage", "--output=name")
            joined = kubectl(node, "get", "nodes", "--output=name").split()
        except ProgramFailed as problem:
            if "NotFound" in problem.said:
                return False
        else:
            return {f"node/{each.name}" for each in kubernetes_nodes(nodes)} <= set(joined)
        if time.monotonic() > deadline:
            return None
        time.sleep(1)


def keep_logs(nodes: Sequence[KindNode], folder: Path) -> str:
    """Write the nodes' logs into the folder; what stands out in them, to be shown.

    Empty where there is no node, or where its logs say nothing.
    """
    shown = []
    for node in nodes:
        folder.mkdir(parents=True, exist_ok=True)
        container = _said("docker", "logs", "--tail", "1000", node.name)
        journal = _said("docker", "exec", node.name, "journalctl", "--no-pager", "--lines=3000") if node.runs else ""
        (folder / f"{node.name}.log").write_text(container, encoding="utf-8")
        (folder / f"{node.name}-journal.log").write_text(journal, encoding="utf-8")
        lines = _telling(journal) or [line for line in container.splitlines() if line.strip()][-6:]
        if lines:
            shown.append(f"The end of the log of node {node.name} (all of it: {folder}):\n{quoted(chr(10).join(lines))}")
    return "\n".join(shown)


def _said(*command: str) -> str:
    """All that a program writes, both ways, whether it fails or not."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return str(problem)
    return done.stdout


def _telling(journal: str) -> list[str]:
    """The last lines of the kubelet and the container runtime that speak of an error.

    Kubernetes' components begin these with E or F and the date.
    """
    ours = (line for line in journal.splitlines() if "kubelet[" in line or "containerd[" in line)
    found = [line[:400] for line in ours if re.search(r"\]: [EF]\d{4} |level=(error|fatal)|command failed|\bfatal\b", line)]
    return list(dict.fromkeys(found))[-6:]
