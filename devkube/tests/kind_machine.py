"""A machine with Docker and Kind whose programs are executables that record how they are called,
and answer as the real ones do."""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from devkube.cluster import KindCluster

# The few commands that are used, with a folder as their memory. `kind` 0.33 and Docker 28 say the
# same.
FAKE = r"""#!{python} -SE
import json, os, pathlib, sys, time
memory = pathlib.Path({memory!r})
name = pathlib.Path(sys.argv[0]).name
words = sys.argv[1:]
call = " ".join([name, *words])
def reads(word):
    return word == "-" or word == "--filename=-"
given = sys.stdin.buffer.read() if any(reads(word) for word in words) else b""
with (memory / "calls").open("a") as calls:
    calls.write(json.dumps({{"command": [name, *words], "stdin": given.decode(errors="replace")}}) + "\n")
kept = memory / "state.json"
state = json.loads(kept.read_text()) if kept.exists() else {{"nodes": {{}}, "made": 0, "docker": []}}
nodes = state["nodes"]
def end(text="", error="", status=0):
    kept.write_text(json.dumps(state))
    sys.stdout.write(text + "\n" if text else "")
    sys.stderr.write(error + "\n" if error else "")
    sys.exit(status)
def fail(text, status=1):
    end(error=text, status=status)
def flag(key):
    path = memory / key
    return path.read_text() if path.exists() else None
def now():
    return time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z", time.gmtime())
def run_node(node):
    folder = pathlib.Path(node["volumes"])
    folder.mkdir(parents=True, exist_ok=True)
    node.update(state="running", started=now(), inode=folder.stat().st_ino)
for line in (flag("fail") or "").splitlines():
    start, _, text = line.partition(" => ")
    if call.startswith(start):
        if start.startswith("kind create"):
            nodes["dev-1-control-plane"] = {{"id": "broken", "image": "i", "state": "running", "started": now(), "volumes": "/nonexistent",
                                            "images": [], "inode": 0, "role": "control-plane", "half": True}}
        fail(text.replace("\\n", "\n") or "ERROR: it broke")
if name == "kind":
    if words == ["version"]:
        end(flag("kind-version") or "kind v0.33.0 go1.26.1 linux/amd64")
    if words[:2] == ["create", "cluster"]:
        sys.path.append({packages!r})
        import yaml
        config = yaml.safe_load(given)
        roles = [node["role"] for node in config["nodes"]]
        for number, (role, node) in enumerate(zip(roles, config["nodes"])):
            state["made"] += 1
            same = roles[:number].count(role)
            made = {{"id": f"id-{{state['made']}}", "image": "sha256:node", "images": [], "role": role,
                    "volumes": node["extraMounts"][-1]["hostPath"]}}
            run_node(made)
            nodes[f"dev-1-{{role}}{{same + 1 if same else ''}}"] = made
        if flag("killed") is not None:
            nodes["dev-1-control-plane"]["half"] = True
            (memory / "killed").unlink()
            kept.write_text(json.dumps(state))
            os.kill(os.getppid(), 9)
            sys.exit()  # what comes next is the test's: it has the state from now on
        end()
    if words[:2] == ["delete", "cluster"]:
        nodes.clear()
        end()
    if words[:2] == ["get", "kubeconfig"]:
        cluster = {{"name": "kind-dev-1", "cluster": {{"server": flag("server")}}}} if flag("server") else {{"name": "kind-dev-1"}}
        end(json.dumps({{"clusters": [cluster], "contexts": [{{"name": "kind-dev-1", "context": {{"cluster": "kind-dev-1"}}}}],
                        "current-context": "kind-dev-1"}}))
    fail("unknown: " + call)
if words == ["-v"]:
    end(flag("docker-v") or "Docker version 28.2.2, build e6534b4")
if words[0] == "context":
    end(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
if flag("no-engine") is not None:
    fail(flag("no-engine") or "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
if words[0] == "version":
    end("28.2.2")
if words[0] == "info":
    info = {{"ServerVersion": "28.2.2", "CgroupVersion": "2", "KernelVersion": "elsewhere", "OperatingSystem": "Debian GNU/Linux 12",
            "DockerRootDir": "/var/lib/docker", "Architecture": "x86_64"}}
    end(json.dumps({{**info, **json.loads(flag("info") or "{{}}")}}))
if words[0] == "ps":
    if "--quiet" in words:
        end("\n".join(node["id"] for node in nodes.values() if node["state"] == "running"))
    end("\n".join(f"{{node['id']}}\t{{each}}\t{{node['state']}}\t{{node['role']}}" for each, node in nodes.items()))
if words[0] == "inspect":
    if "--type" in words:
        end("/outer") if flag("outer") is not None else fail("Error: No such container: " + words[-1])
    if words[-1] not in nodes:
        fail("Error: No such object: " + words[-1])
    end(nodes[words[-1]]["started"] if "StartedAt" in words[2] else nodes[words[-1]]["image"])
if words[0] in ("start", "stop", "update", "unpause"):
    for each in words[1:]:
        if each in nodes:
            if words[0] == "update":
                nodes[each]["policy"] = words[1]
            elif words[0] == "stop":
                nodes[each]["state"] = "exited"
            elif nodes[each]["state"] != "running":
                run_node(nodes[each])
    end()
if words[0] == "logs":
    end(flag("log") or "INFO: detected cgroup v1")
if words[0] in ("pull", "tag"):
    end()
if words[0] == "save":
    end("saved " + words[1])
if words[0] == "run":
    folder = pathlib.Path(words[words.index("--volume") + 1].rpartition(":")[0])
    for each in folder.iterdir():
        each.rmdir()
    end()
if words[0] == "exec":
    rest = words[1:]
    if rest[0] == "--interactive":
        rest = rest[1:]
    node, command = nodes[rest[0]], rest[1:]
    if node["state"] != "running":
        fail(f"Error response from daemon: container {{rest[0]}} is not running")
    text = " ".join(command)
    volumes = pathlib.Path(node["volumes"])
    if text == "test -e /etc/kubernetes/admin.conf":
        end() if not node.get("half") or flag("admin.conf") is not None else fail("")
    if "get nodes --output=name" in text:
        end("\n".join(f"node/{{each}}" for each in nodes if flag("not-joined") != each))
    if "get nodes" in text:
        left = int(flag("api-down") or 0)
        if left:
            (memory / "api-down").write_text(str(left - 1))
            fail("The connection to the server dev-1-control-plane:6443 was refused")
        ready = {{"type": "Ready", "status": flag("ready") or "True", "lastHeartbeatTime": flag("beat") or now()[:19] + "Z",
                 "message": "container runtime network not ready"}}
        end(json.dumps({{"items": [{{"metadata": {{"name": each}}, "status": {{"conditions": [ready]}}}} for each in nodes]}}))
    if "get deployment" in text and "--output=name" in text:
        fail('Error from server (NotFound): deployments.apps "local-path-provisioner" not found') if node.get("half") else end("deployment")
    if "get deployment" in text:
        container = {{"name": "p", "command": ["local-path-provisioner", "--debug", "start", "--config", "/etc/config/config.json"]}}
        end(json.dumps({{"metadata": {{"name": "local-path-provisioner", "namespace": "local-path-storage", "uid": "u"}},
                        "spec": {{"template": {{"metadata": {{"labels": {{"app": "x"}}}}, "spec": {{"containers": [container]}}}}}}}}))
    if text.startswith("kubectl"):
        end()
    if "mktemp" in text:
        if flag("elsewhere") is None and volumes.exists() and volumes.stat().st_ino == node["inode"]:
            (volumes / ".tried-1").mkdir()
        end("/var/local-path-provisioner/.tried-1\n" + (flag("chown") or "65532"))
    if command[0] == "rmdir":
        (volumes / ".tried-1").rmdir() if (volumes / ".tried-1").exists() else None
        end()
    if command[0] == "find":
        for each in volumes.iterdir():
            each.rmdir()
        end()
    if command[0] == "du":
        end("4096\t" + command[-1]) if flag("du") is None else fail(flag("du"))
    if command[0] == "uname":
        end("x86_64")
    if command[:2] == ["containerd", "config"]:
        end(flag("containerd") or 'version = 3\n[plugins."io.containerd.cri.v1.images"]\nsnapshotter = "native"')
    if "journalctl" in text:
        end(flag("journal") or "")
    if command[0] == "ctr" and "list" in command:
        end("\n".join(node["images"]))
    if command[0] == "ctr" and "import" in command:
        if not any(each.startswith("--platform=") for each in command):
            fail("ctr: content digest sha256:4c6b: not found")
        if given.startswith(b"saved "):
            node["images"].append(given.decode().split()[1])
        else:
            import io, tarfile
            index = json.load(tarfile.open(fileobj=io.BytesIO(given)).extractfile("index.json"))
            node["images"] += [each["annotations"]["io.containerd.image.name"] for each in index["manifests"]]
        end()
    end()
fail("unknown: " + call)
"""


class KindMachine:
    """What the executables remember."""

    def __init__(self, folder: Path) -> None:
        self.memory = folder / "memory"
        self.kubeconfig = folder / ".dev/kubeconfig"
        self.cluster = self.another()

    def another(self, **options: Any) -> KindCluster:
        """The same cluster as the next command has it."""
        return KindCluster("dev-1", "storage-tiers-dev", self.kubeconfig, **options)

    def set(self, name: str, text: str = "") -> None:
        """Have the executables behave otherwise from now on: FAKE says how."""
        (self.memory / name).write_text(text)

    def unset(self, name: str) -> None:
        (self.memory / name).unlink()

    def calls(self) -> list[dict[str, Any]]:
        path = self.memory / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def commands(self) -> list[str]:
        return [" ".join(call["command"]) for call in self.calls()]

    def commands_with(self, *starts: str) -> list[str]:
        return [command for command in self.commands() if command.startswith(starts)]

    def forget(self) -> None:
        (self.memory / "calls").unlink(missing_ok=True)

    @property
    def state(self) -> dict[str, Any]:
        """Docker's own memory: `nodes` by name, among others."""
        state: dict[str, Any] = json.loads((self.memory / "state.json").read_text())
        return state

    def change(self, node: str = "dev-1-control-plane", **values: Any) -> None:
        """Change what Docker knows of a node."""
        state = self.state
        state["nodes"][node].update(values)
        (self.memory / "state.json").write_text(json.dumps(state))

    def lose_nodes(self) -> None:
        """As `kind delete cluster` by hand does."""
        self.restore({})

    def restore(self, nodes: dict[str, Any]) -> None:
        """Have Docker know these nodes alone."""
        (self.memory / "state.json").write_text(json.dumps({**self.state, "nodes": nodes}))


def kind_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> KindMachine:
    """A machine in this folder, on PATH for the test."""
    programs, memory = folder / "bin", folder / "memory"
    programs.mkdir()
    memory.mkdir()
    for name in ("kind", "docker"):
        (programs / name).write_text(FAKE.format(python=sys.executable, packages=sysconfig.get_path("purelib"), memory=str(memory)))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("KIND_EXPERIMENTAL_PROVIDER", raising=False)
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name: folder / "data" / name)
    monkeypatch.setattr(Path, "home", lambda: folder / "user")
    return KindMachine(folder)
