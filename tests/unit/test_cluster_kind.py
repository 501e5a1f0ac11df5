"""Kind clusters, with `kind` and `docker` replaced by executables that record how they are called: neither runs here."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import platformdirs
import pytest
import yaml

from devkube.cluster import KindCluster, kind
from ops.errors import UserError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the recording executables are scripts")

# Behaves as the documentation says of the few commands that are used, with a folder as its memory.
FAKE = """#!{python}
import json, pathlib, sys
memory = pathlib.Path({memory!r})
name = pathlib.Path(sys.argv[0]).name
words = sys.argv[1:]
given = "" if sys.stdin.isatty() else sys.stdin.read()
with (memory / "calls").open("a") as calls:
    calls.write(json.dumps({{"command": [name, *words], "stdin": given}}) + "\\n")
node = memory / "node"  # its content: true where the container runs
def fail(text):
    print(text, file=sys.stderr)
    sys.exit(1)
call = " ".join([name, *words])
if (memory / "fail").exists() and call.startswith((memory / "fail").read_text()):
    fail("ERROR: it broke")
if call.startswith("docker version"):
    print("27.0.1") if not (memory / "no-engine").exists() else fail("Cannot connect to the Docker daemon")
elif call == "kind get clusters":
    print("dev-1" if node.exists() else "", end="")
    print("No kind clusters found." if not node.exists() else "", file=sys.stderr)
elif call.startswith("kind create cluster"):
    node.write_text("true")
elif call.startswith("kind delete cluster"):
    node.unlink(missing_ok=True)
elif call.startswith("kind get kubeconfig"):
    print(json.dumps({{"contexts": [{{"name": "kind-dev-1", "context": {{"cluster": "kind-dev-1"}}}}], "current-context": "kind-dev-1"}}))
elif call.startswith("docker inspect"):
    print(node.read_text()) if node.exists() else fail("Error: No such object")
elif call.startswith(("docker start", "docker stop")):
    node.write_text("true" if words[0] == "start" else "false")
elif call.startswith("docker exec") and "find" in words:
    for each in pathlib.Path((memory / "volumes").read_text()).iterdir():
        each.rmdir()
"""


class Machine:
    """What the fake executables remember."""

    def __init__(self, folder: Path) -> None:
        self.memory = folder / "memory"
        self.cluster = KindCluster("dev-1", "storage-tiers-dev", folder / ".dev/kubeconfig")

    def calls(self) -> list[dict[str, Any]]:
        path = self.memory / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def commands(self) -> list[str]:
        return [" ".join(call["command"]) for call in self.calls()]

    def forget(self) -> None:
        (self.memory / "calls").unlink(missing_ok=True)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    programs, memory = tmp_path / "bin", tmp_path / "memory"
    programs.mkdir()
    memory.mkdir()
    for name in ("kind", "docker"):
        (programs / name).write_text(FAKE.format(python=sys.executable, memory=str(memory)))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name: tmp_path / "data" / name)
    made = Machine(tmp_path)
    (memory / "volumes").write_text(str(made.cluster.volumes))
    return made


def test_created_on_loopback_with_the_volumes_in_a_host_folder(machine: Machine) -> None:
    access = machine.cluster.start()
    assert (access.kind, access.context) == ("kind", "storage-tiers-dev")
    created = next(call for call in machine.calls() if call["command"][:3] == ["kind", "create", "cluster"])
    words = created["command"]
    assert words[words.index("--name") + 1] == "dev-1"
    assert words[words.index("--kubeconfig") + 1] == str(machine.cluster.kubeconfig)  # else ~/.kube/config would be changed
    config = yaml.safe_load(created["stdin"])
    assert config["networking"] == {"apiServerAddress": "127.0.0.1"}
    assert config["nodes"] == [
        {
            "role": "control-plane",
            "extraMounts": [{"hostPath": str(machine.cluster.volumes), "containerPath": "/var/local-path-provisioner"}],
        }
    ]


def test_kubeconfig_is_private_and_its_context_is_the_stacks(machine: Machine) -> None:
    machine.cluster.start()
    path = machine.cluster.kubeconfig
    content = yaml.safe_load(path.read_text())
    assert content["current-context"] == content["contexts"][0]["name"] == "storage-tiers-dev"
    assert content["contexts"][0]["context"]["cluster"] == "kind-dev-1"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_second_provisioner_is_installed(machine: Machine) -> None:
    machine.cluster.start()
    assert not [command for command in machine.commands() if "apply" in command or "local-path-storage" in command]


def test_stop_and_start_keep_the_cluster(machine: Machine) -> None:
    machine.cluster.start()
    machine.cluster.stop()
    assert not machine.cluster.running()
    machine.forget()
    machine.cluster.start()
    assert machine.cluster.running()
    assert "docker start dev-1-control-plane" in machine.commands()
    assert not [command for command in machine.commands() if command.startswith(("kind create", "kind delete"))]


def test_start_of_a_running_cluster_starts_nothing(machine: Machine) -> None:
    machine.cluster.start()
    machine.forget()
    machine.cluster.start()
    assert not [command for command in machine.commands() if command.startswith(("kind create", "docker start"))]


def test_failed_creation_leaves_no_half_cluster(machine: Machine) -> None:
    (machine.memory / "fail").write_text("kind create")
    with pytest.raises(UserError, match="it broke"):
        machine.cluster.start()
    assert machine.commands()[-1].startswith("kind delete cluster --name dev-1")
    assert not machine.cluster.exists()


def test_a_missing_cluster_is_made_again_over_its_volumes(machine: Machine) -> None:
    machine.cluster.start()
    (machine.cluster.volumes / "pvc-1").mkdir()
    (machine.memory / "node").unlink()  # `kind delete cluster` by hand
    machine.cluster.start()
    assert (machine.cluster.volumes / "pvc-1").exists()
    assert machine.cluster.running()


def test_delete_takes_cluster_volumes_and_kubeconfig(machine: Machine) -> None:
    machine.cluster.start()
    (machine.cluster.volumes / "pvc-1").mkdir()
    assert any("pvc-1" in line for line in machine.cluster.contents())
    machine.cluster.stop()
    machine.cluster.delete()
    assert not machine.cluster.home.exists()
    assert not machine.cluster.kubeconfig.exists()
    assert not machine.cluster.exists()
    assert machine.cluster.contents() == []
    assert any(command.startswith("kind delete cluster --name dev-1") for command in machine.commands())


def test_delete_of_what_never_was_calls_nothing(machine: Machine) -> None:
    machine.cluster.delete()
    machine.cluster.stop()
    assert machine.calls() == []


def test_stopped_engine_is_named(machine: Machine) -> None:
    machine.cluster.start()
    (machine.memory / "no-engine").touch()
    assert kind.lacking() == ["the Docker engine does not answer (`docker version`)"]
    with pytest.raises(UserError, match="Docker engine does not answer"):
        machine.cluster.start()
    with pytest.raises(UserError, match="can't be deleted"):
        machine.cluster.delete()
    assert machine.cluster.home.exists()


def test_image_is_loaded_into_this_cluster(machine: Machine, tmp_path: Path) -> None:
    machine.cluster.load_image(tmp_path / "image.tar")
    assert machine.commands() == [f"kind load image-archive {tmp_path / 'image.tar'} --name dev-1"]


def test_an_official_image_is_pulled_and_named_as_the_stack_names_it(machine: Machine) -> None:
    machine.cluster.pull_image("docker.io/library/python:3.13-slim", "storage-tiers.local/python:1")
    assert machine.commands() == [
        "docker pull docker.io/library/python:3.13-slim",
        "docker tag docker.io/library/python:3.13-slim storage-tiers.local/python:1",
        "kind load docker-image storage-tiers.local/python:1 --name dev-1",
    ]
