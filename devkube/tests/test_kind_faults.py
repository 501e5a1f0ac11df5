"""What goes wrong with Kind and Docker: noticed, said with its cause, and never left half done."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import platformdirs
import pytest
import yaml

from devkube import paths
from devkube.cluster import kind
from devkube.cluster.kind import creation
from devkube.cluster.kind.config import count_nodes
from devkube.cluster.kind.nodes import looks_whole, wait_until_ready
from devkube.errors import MachineError
from devkube.tests.kind_machine import KindMachine, kind_machine

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the recording executables are scripts")

NODE = "dev-1-control-plane"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KindMachine:
    for module in (creation, kind):
        monkeypatch.setattr(module, "wait_until_ready", partial(wait_until_ready, seconds=0))
    monkeypatch.setattr(creation, "looks_whole", partial(looks_whole, seconds=0))
    return kind_machine(tmp_path, monkeypatch)


def kill_creation(machine: KindMachine, folder: Path) -> None:
    """As closing the terminal does: everything ends at once, while Kind is at work."""
    machine.set("killed")
    started = f"KindCluster('dev-1', 'c', Path({str(machine.kubeconfig)!r})).start()"
    script = f"from pathlib import Path; from devkube.cluster import KindCluster; {started}"
    environment = {**os.environ, "XDG_DATA_HOME": str(folder / "data")}
    done = subprocess.run([sys.executable, "-c", script], cwd=paths.ROOT, env=environment, capture_output=True, check=False)
    assert done.returncode == -9, done.stderr.decode()


class TestHalfMade:
    def test_after_a_closed_terminal_it_is_made_anew(self, machine: KindMachine, tmp_path: Path) -> None:
        kill_creation(machine, tmp_path)
        assert not machine.cluster.exists()  # with Docker stopped the clone isn't bound to half a cluster
        machine.forget()
        machine.another().start()
        assert [command.split(" --")[0] for command in machine.commands_with("kind create", "kind delete")] == [
            "kind delete cluster",
            "kind create cluster",
        ]
        assert machine.cluster.exists()
        machine.forget()
        machine.another().start()
        assert not machine.commands_with("kind create", "kind delete")

    def test_volumes_of_the_cluster_before_stay(self, machine: KindMachine, tmp_path: Path) -> None:
        machine.cluster.start()
        (machine.cluster.volumes / "pvc-1").mkdir()
        machine.lose_nodes()
        kill_creation(machine, tmp_path)
        assert machine.cluster.exists()
        machine.another().start()
        assert (machine.cluster.volumes / "pvc-1").exists()

    def test_one_that_kind_finished_by_itself_is_kept(self, machine: KindMachine, tmp_path: Path) -> None:
        kill_creation(machine, tmp_path)
        machine.change(half=False)
        machine.forget()
        machine.another().start()
        assert not machine.commands_with("kind create", "kind delete")

    @pytest.mark.parametrize("half", [True, False])
    def test_one_without_a_record_is_judged_by_what_is_in_it(self, machine: KindMachine, *, half: bool) -> None:
        machine.cluster.start()
        (machine.cluster.home / "cluster.json").unlink()  # as before there were records
        machine.change(half=half)
        machine.set("admin.conf")
        machine.forget()
        machine.another().start()
        assert bool(machine.commands_with("kind create")) is half

    def test_one_whose_workers_never_joined(self, machine: KindMachine, tmp_path: Path) -> None:
        (tmp_path / "kind.yaml").write_text("nodes: [{role: control-plane}, {role: worker}]")
        machine.another(config=str(tmp_path / "kind.yaml")).start()
        (machine.cluster.home / "cluster.json").unlink()
        machine.set("not-joined", "dev-1-worker")
        machine.forget()
        machine.another().start()
        assert machine.commands_with("kind create")

    def test_one_without_a_record_that_cant_be_asked_is_not_deleted(self, machine: KindMachine) -> None:
        machine.cluster.start()
        (machine.cluster.home / "cluster.json").unlink()
        machine.set("fail", f"docker exec {NODE} kubectl => The connection to the server was refused")
        machine.forget()
        with pytest.raises(MachineError) as caught:
            machine.another().start()
        assert not machine.commands_with("kind create", "kind delete")
        assert "`kind delete cluster --name dev-1` deletes the nodes and keeps the volumes" in str(caught.value)

    def test_a_cluster_of_the_same_name_that_is_another_one(self, machine: KindMachine) -> None:
        machine.cluster.start()
        machine.change(id="by-hand", half=True)  # deleted, and another one begun
        machine.forget()
        machine.another().start()
        assert machine.commands_with("kind delete")


class TestCreationFails:
    def test_everything_that_was_said_is_shown(self, machine: KindMachine) -> None:
        said = [
            "ERROR: failed to create cluster: exit status 125",
            "Command Output: the cause",
            *(f"line {number}" for number in range(20)),
        ]
        machine.set("fail", "kind create => " + "\\n".join(said))
        with pytest.raises(MachineError) as caught:
            machine.cluster.start()
        assert all(line in str(caught.value) for line in said)

    def test_the_nodes_log_is_kept_and_quoted_before_it_is_deleted(self, machine: KindMachine) -> None:
        machine.set("fail", "kind create => ERROR: failed to init node with kubeadm")
        machine.set("log", "INFO: starting init\nsystemd says hello")
        machine.set(
            "journal",
            "Nov 26 node systemd[1]: Started kubelet.\n"
            'Nov 26 node kubelet[174]: E1126 12:00:00.609236 174 kubelet.go:1466] "Failed to start ContainerManager"',
        )
        with pytest.raises(MachineError) as caught:
            machine.cluster.start()
        assert "Failed to start ContainerManager" in str(caught.value)
        assert "Started kubelet" not in str(caught.value)
        assert "systemd says hello" in (machine.cluster.logs / f"{NODE}.log").read_text()
        read = next(number for number, command in enumerate(machine.commands()) if "journalctl" in command)
        deleted = next(number for number, command in enumerate(machine.commands()) if command.startswith("kind delete"))
        assert read < deleted
        assert "--retain" in machine.commands_with("kind create")[0]

    def test_a_node_that_never_gets_ready_is_not_left_behind(self, machine: KindMachine) -> None:
        machine.set("ready", "False")
        with pytest.raises(MachineError, match="container runtime network not ready"):
            machine.cluster.start()
        assert machine.state["nodes"] == {}
        assert not machine.cluster.home.exists()

    def test_a_port_that_is_in_use_is_named(self, machine: KindMachine) -> None:
        machine.set(
            "fail", "kind create => Error: failed to bind host port for 127.0.0.1:31999:172.18.0.2:6443/tcp: address already in use"
        )
        with pytest.raises(MachineError, match="sport = :31999"):
            machine.cluster.start()

    def test_without_docker_nothing_is_bound_to_kind(self, machine: KindMachine) -> None:
        machine.set("fail", "docker ps => Cannot connect to the Docker daemon")
        with pytest.raises(MachineError, match="Cannot connect"):
            machine.cluster.start()
        assert not machine.cluster.home.exists()

    def test_the_folder_is_not_there_in_the_node(self, machine: KindMachine) -> None:
        machine.set("elsewhere")
        with pytest.raises(MachineError, match="doesn't see the folder") as caught:
            machine.cluster.start()
        assert "XDG_DATA_HOME" in str(caught.value)
        assert machine.state["nodes"] == {}

    def test_owners_cant_be_set_in_the_folder(self, machine: KindMachine) -> None:
        machine.set("chown", "0\nchown: changing ownership: Operation not permitted")
        with pytest.raises(MachineError, match=r"owners of files can't be set .* \(chown: changing ownership"):
            machine.cluster.start()
        assert machine.state["nodes"] == {}

    def test_the_api_server_is_not_on_this_machine(self, machine: KindMachine) -> None:
        machine.set("server", "https://127.0.0.1:9")  # discard: nothing listens there
        with pytest.raises(MachineError, match="can't be reached from here"):
            machine.cluster.start()
        assert machine.state["nodes"] == {}


class TestStart:
    def test_waits_for_the_api_of_a_container_that_runs(self, machine: KindMachine, monkeypatch: pytest.MonkeyPatch) -> None:
        machine.cluster.start()
        monkeypatch.setattr(kind, "wait_until_ready", partial(wait_until_ready, seconds=60))
        machine.set("api-down", "1")
        machine.forget()
        machine.another().start()
        assert len([command for command in machine.commands() if "get nodes" in command]) == 2

    def test_the_word_of_the_run_before_doesnt_count(self, machine: KindMachine) -> None:
        machine.cluster.start()
        machine.set("beat", "2020-01-01T00:00:00Z")
        with pytest.raises(MachineError, match="has not spoken since it was started"):
            machine.another().start()

    def test_a_stop_ends_the_pods_first_and_lasts(self, machine: KindMachine) -> None:
        machine.cluster.start()
        machine.forget()
        machine.cluster.stop()
        stopped = machine.commands()[1:]
        assert stopped[0] == f"docker update --restart=no {NODE}"
        assert stopped[1].startswith(f"docker exec {NODE} sh -c")
        assert "crictl stop --timeout" in stopped[1]
        # Docker's own 10 s are too short for a node.
        assert stopped[2].startswith(f"docker stop -t 60 {NODE}")
        machine.another().start()
        assert machine.state["nodes"][NODE]["policy"] == "--restart=on-failure:1"

    def test_a_port_that_was_taken_meanwhile(self, machine: KindMachine) -> None:
        machine.cluster.start()
        (machine.cluster.volumes / "pvc-1").mkdir()
        machine.cluster.stop()
        machine.set(
            "fail", "docker start => Error response from daemon: Ports are not available: listen tcp 127.0.0.1:31999: address in use"
        )
        with pytest.raises(MachineError) as caught:
            machine.another().start()
        assert "sport = :31999" in str(caught.value)
        assert "`make up ADOPT=1`" in str(caught.value)
        machine.another().delete()  # nothing has to be started for it
        assert not machine.cluster.home.exists()
        assert machine.commands_with("docker run --rm --network=none")

    def test_a_volumes_folder_that_was_deleted_is_there_again_for_the_node(self, machine: KindMachine) -> None:
        machine.cluster.start()
        machine.cluster.volumes.rmdir()
        machine.forget()
        machine.another().start()
        assert machine.commands_with("docker stop", "docker start")
        assert machine.cluster.volumes.is_dir()

    def test_a_named_image_is_for_a_new_cluster(self, machine: KindMachine, capsys: pytest.CaptureFixture[str]) -> None:
        machine.cluster.start()
        machine.another(image="kindest/node:v1.34.0").start()
        assert "what is named now is for a new one" in capsys.readouterr().out

    def test_a_config_that_is_gone_is_for_a_new_one(self, machine: KindMachine, tmp_path: Path) -> None:
        (tmp_path / "kind.yaml").write_text("nodes: [{role: control-plane}, {role: worker}]")
        named = {"config": str(tmp_path / "kind.yaml")}
        machine.another(**named).start()
        (tmp_path / "kind.yaml").unlink()
        machine.another(**named).start()
        assert count_nodes(machine.another(**named).config_text()) == 2
        machine.another(**named).delete()
        with pytest.raises(MachineError, match=r"kind\.yaml can't be read"):
            machine.another(**named).start()


class TestAnotherEngine:
    """The clone's cluster was made here, and this shell's Docker is another machine's."""

    def test_nothing_is_made_there_and_nothing_is_said_to_be_done(self, machine: KindMachine, monkeypatch: pytest.MonkeyPatch) -> None:
        machine.cluster.start()
        nodes = machine.state["nodes"]
        (machine.cluster.volumes / "pvc-1").mkdir()
        machine.lose_nodes()  # that engine has none
        monkeypatch.setenv("DOCKER_HOST", "tcp://10.1.2.3:2375")
        machine.forget()
        for act in (machine.another().start, machine.another().stop, machine.another().delete):
            with pytest.raises(MachineError) as caught:
                act()
            said = str(caught.value)
            assert "was made by the Docker engine at unix:///var/run/docker.sock, and now Docker is on another machine" in said
            assert "DOCKER_HOST: tcp://10.1.2.3:2375" in said
            assert "`unset DOCKER_HOST`" in said
        assert not machine.commands_with("kind create", "kind delete")
        assert (machine.cluster.volumes / "pvc-1").is_dir()
        monkeypatch.delenv("DOCKER_HOST")
        machine.restore(nodes)
        machine.another().start()
        assert not machine.commands_with("kind create", "kind delete")

    def test_one_that_doesnt_answer(self, machine: KindMachine, monkeypatch: pytest.MonkeyPatch) -> None:
        machine.cluster.start()
        monkeypatch.setenv("DOCKER_HOST", "tcp://10.1.2.3:2375")
        machine.set("no-engine", "no route to host")
        with pytest.raises(MachineError, match=r"no route to host; DOCKER_HOST=tcp://10\.1\.2\.3:2375 says where it is"):
            machine.another().start()
        with pytest.raises(MachineError, match=r"was made by the Docker engine at unix:///var/run/docker\.sock"):
            machine.another().stop()  # it runs on

    def test_a_cluster_that_was_made_there_is_made_there_again(self, machine: KindMachine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKER_HOST", "tcp://10.1.2.3:2375")
        machine.cluster.start()
        machine.lose_nodes()
        machine.another().start()
        assert len(machine.commands_with("kind create")) == 2

    def test_another_engine_of_this_machine_may_make_it_anew(self, machine: KindMachine, monkeypatch: pytest.MonkeyPatch) -> None:
        machine.cluster.start()
        machine.lose_nodes()
        monkeypatch.setenv("DOCKER_HOST", "unix:///run/user/1000/docker.sock")
        machine.another().start()
        assert len(machine.commands_with("kind create")) == 2


class TestDelete:
    def test_with_the_volumes_folder_gone(self, machine: KindMachine) -> None:
        machine.cluster.start()
        machine.cluster.volumes.rmdir()
        assert machine.cluster.contents() == ["the Kind cluster dev-1 with all its objects"]
        machine.cluster.delete()
        assert not machine.cluster.exists()

    def test_the_nodes_bytes_of_a_directory(self, machine: KindMachine) -> None:
        machine.cluster.start()
        assert machine.cluster.folder().used
        assert machine.cluster.used("/var/local-path-provisioner/pvc-1") == 4096
        assert machine.commands()[-1] == f"docker exec {NODE} du --summarize --block-size=1 -- /var/local-path-provisioner/pvc-1"
        machine.set("du", "du: cannot access")
        assert machine.cluster.used("/var/local-path-provisioner/pvc-2") is None


class TestOptions:
    def config(self, folder: Path, text: str) -> str:
        (folder / "kind.yaml").write_text(text)
        return str(folder / "kind.yaml")

    def created(self, machine: KindMachine) -> tuple[list[str], dict[str, object]]:
        call = next(call for call in machine.calls() if call["command"][:3] == ["kind", "create", "cluster"])
        return call["command"], yaml.safe_load(call["stdin"])

    def test_a_node_image_and_a_config_of_the_users(self, machine: KindMachine, tmp_path: Path) -> None:
        mirror = '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n'
        given = {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "containerdConfigPatches": [mirror],
            "networking": {"apiServerPort": 16443},
            "nodes": [{"role": "control-plane", "extraMounts": [{"hostPath": "/certs", "containerPath": "/certs"}]}, {"role": "worker"}],
        }
        machine.another(image="registry.example/node:v1.34.0", config=self.config(tmp_path, yaml.safe_dump(given))).start()
        words, config = self.created(machine)
        assert words[words.index("--image") + 1] == "registry.example/node:v1.34.0"
        assert config["containerdConfigPatches"] == [mirror]
        assert config["networking"] == {"apiServerAddress": "127.0.0.1", "apiServerPort": 16443}
        ours = {"hostPath": str(machine.cluster.volumes), "containerPath": "/var/local-path-provisioner"}
        assert config["nodes"] == [
            {"role": "control-plane", "extraMounts": [{"hostPath": "/certs", "containerPath": "/certs"}, ours]},
            {"role": "worker", "extraMounts": [ours]},
        ]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("nodes: [", "is no YAML"),
            ("kind: Pod", "is not a mapping with `kind: Cluster`"),
            ("nodes: [a]", "nodes must be a list of mappings"),
            (
                "nodes: [{extraMounts: [{hostPath: /a, containerPath: /var/local-path-provisioner}]}]",
                r"nodes\[0\].extraMounts has containerPath /var/local-path-provisioner",
            ),
        ],
    )
    def test_a_config_that_cant_be_used_is_said_before_anything_is_made(
        self, machine: KindMachine, tmp_path: Path, text: str, said: str
    ) -> None:
        with pytest.raises(MachineError, match=said) as caught:
            machine.another(config=self.config(tmp_path, text)).start()
        assert str(tmp_path / "kind.yaml") in str(caught.value)
        assert not machine.cluster.home.exists()

    def test_a_config_that_isnt_there(self, machine: KindMachine, tmp_path: Path) -> None:
        with pytest.raises(MachineError, match=r"nowhere\.yaml can't be read"):
            machine.another(config=str(tmp_path / "nowhere.yaml")).start()

    def test_a_snap_is_given_a_folder_that_it_sees(self, machine: KindMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kind, "docker_is_snap", lambda: True)
        monkeypatch.setattr(platformdirs, "user_data_path", lambda name: tmp_path / "user/.local/share" / name)
        machine.cluster.start()
        assert machine.cluster.volumes == tmp_path / "user/storage-tiers/dev-1/volumes"
        monkeypatch.setattr(kind, "docker_is_snap", lambda: False)  # another Docker now: the volumes are where they are
        assert machine.another().volumes == machine.cluster.volumes
        assert machine.another().exists()

    def test_a_provisioner_for_another_drivers_name(self, machine: KindMachine) -> None:
        machine.another(provisioners=("ebs.csi.aws.com",)).start()
        applied = next(yaml.safe_load(call["stdin"]) for call in machine.calls() if "apply" in call["command"])
        assert applied["metadata"]["name"] == "local-path-provisioner-ebs-csi-aws-com"
        assert applied["spec"]["template"]["metadata"]["labels"] == applied["spec"]["selector"]["matchLabels"]
        words = applied["spec"]["template"]["spec"]["containers"][0]["command"]
        assert words[:3] == ["local-path-provisioner", "--debug", "start"]
        assert words[-2:] == ["--provisioner-name", "ebs.csi.aws.com"]
