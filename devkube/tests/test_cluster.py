"""Which cluster is chosen, where an embedded one keeps its things, and how processes are told
apart."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from devkube import cluster
from devkube.cluster import EmbeddedCluster, ExistingCluster, KindCluster, choose, embedded, host, kind
from devkube.cluster import layout as layouts
from devkube.cluster.api_server import ask
from devkube.cluster.daemons import Daemon, wait_for
from devkube.errors import MachineError


def write_kubeconfig(path: Path, context: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"contexts": [{"name": context}]}))
    return path


def test_users_own_context_comes_first(machine: Path) -> None:
    write_kubeconfig(machine / "user/.kube/config", "mine")
    (machine / "lib/dev-1").mkdir(parents=True)
    chosen = choose("mine", "dev-1", machine / "ours")
    assert isinstance(chosen, ExistingCluster)
    assert (chosen.start().kind, chosen.start().kubeconfig) == ("existing", None)
    with pytest.raises(MachineError, match="never stopped"):
        chosen.stop()
    with pytest.raises(MachineError, match="never deleted"):
        chosen.delete()
    assert chosen.contents() == []


def test_own_kubeconfig_is_not_taken_for_the_users(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = write_kubeconfig(machine / "ours", "dev")
    monkeypatch.setenv("KUBECONFIG", str(ours))  # as after `. .dev/env`
    assert isinstance(choose("dev", "dev-1", ours), EmbeddedCluster)


def test_users_contexts_are_seen_in_every_file_that_kubeconfig_names(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = write_kubeconfig(machine / "second", "theirs")
    monkeypatch.setenv("KUBECONFIG", f"{machine / 'missing'}:{second}")
    assert isinstance(choose("theirs", "dev-1", machine / "ours"), ExistingCluster)


@pytest.mark.parametrize("text", ["contexts: [", "contexts: 5", "contexts: [mine]", "mine"])
def test_unreadable_kubeconfig_is_named(machine: Path, text: str) -> None:
    path = write_kubeconfig(machine / "user/.kube/config", "mine")
    path.write_text(text)
    with pytest.raises(MachineError, match=str(path)):
        choose("mine", "dev-1", machine / "ours")


def test_kind_is_preferred_where_docker_runs(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "lacking", list)
    assert isinstance(choose("dev", "dev-1", machine / "ours"), KindCluster)


def test_embedded_cluster_stays_embedded_when_docker_appears(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "lacking", list)
    (machine / "lib/dev-1").mkdir(parents=True)
    assert isinstance(choose("dev", "dev-1", machine / "ours"), EmbeddedCluster)


def test_kind_cluster_stays_kind_when_docker_is_stopped(machine: Path) -> None:
    KindCluster("dev-1", "dev", machine / "ours").volumes.mkdir(parents=True)
    chosen = choose("dev", "dev-1", machine / "ours")
    assert isinstance(chosen, KindCluster)
    with pytest.raises(MachineError, match="no kind here"):
        chosen.start()


def test_no_way_to_a_cluster_says_what_each_lacks(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "lacking", lambda: ["it needs root"])
    with pytest.raises(MachineError) as caught:
        choose("dev", "dev-1", machine / "ours")
    for part in ("context dev", "no kind here", "it needs root", "cluster.context"):
        assert part in str(caught.value)


def test_public_names_are_there() -> None:
    assert set(cluster.__all__) >= {"Access", "Cluster", "choose"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="embedded clusters are for Linux")
class TestLayout:
    def test_is_chosen_once_and_kept(self, machine: Path) -> None:
        first = layouts.choose("dev-1")
        assert layouts.choose("dev-1") == first
        assert layouts.load("dev-1") == first
        assert first.home.stat().st_mode & 0o777 == 0o700

    def test_clusters_share_nothing(self, machine: Path) -> None:
        made = [layouts.choose(f"test-{number}") for number in range(8)]
        ports = [port for layout in made for port in layout.ports.__dict__.values()]
        assert len(set(ports)) == len(ports) == 56
        assert len({layout.subnet for layout in made}) == len({layout.bridge for layout in made}) == 8
        assert all(ipaddress.IPv4Network(layout.subnet).subnet_of(ipaddress.IPv4Network("198.18.0.0/15")) for layout in made)
        assert all(len(layout.bridge) <= 15 for layout in made)

    def test_a_port_in_use_is_not_chosen(self, machine: Path) -> None:
        first = layouts.choose("dev-1").ports.api
        (machine / "lib/dev-1/cluster.json").unlink()
        with socket.socket() as user:
            user.bind(("127.0.0.1", first))
            user.listen()
            assert not layouts.port_free("127.0.0.1", first)
            assert layouts.choose("dev-1").ports.api != first

    @pytest.mark.parametrize("identity", ["", "A", "a/b", "../x", "-a", "a" * 41, "a b"])
    def test_unfit_identity_is_refused(self, machine: Path, identity: str) -> None:
        with pytest.raises(MachineError, match="identity"):
            EmbeddedCluster(identity, "c", machine / "ours")

    def test_damaged_file_is_named(self, machine: Path) -> None:
        layouts.choose("dev-1")
        (machine / "lib/dev-1/cluster.json").write_text(json.dumps({"subnet": "198.18.0.0/24"}))
        with pytest.raises(MachineError, match=r"cluster\.json"):
            layouts.load("dev-1")

    def test_sockets_fit_into_a_socket_address(self) -> None:
        ports = layouts.Ports(1, 2, 3, 4, 5, 6, 7)
        layout = layouts.Layout("a" * 40, "198.18.0.0/24", ports)
        assert len(str(layout.containerd_socket)) <= 107

    def test_an_api_server_that_never_ran_does_not_answer(self, machine: Path) -> None:
        layout = layouts.choose("dev-1")
        with pytest.raises(MachineError, match="the API server of cluster dev-1 does not answer to /readyz: "):
            ask(layout, "/readyz")

    def test_delete_of_what_never_was_does_nothing(self, machine: Path) -> None:
        EmbeddedCluster("dev-1", "c", machine / "ours").delete()
        assert EmbeddedCluster("dev-1", "c", machine / "ours").contents() == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="embedded clusters are for Linux")
class TestDaemon:
    def daemon(self, folder: Path, script: str) -> Daemon:
        return Daemon("thing", ["/bin/sh", "-c", script], folder, folder)

    def test_runs_until_it_is_stopped(self, tmp_path: Path) -> None:
        daemon = self.daemon(tmp_path, "echo hello; sleep 60")
        daemon.start()
        process = daemon.process()
        assert process
        daemon.start()
        again = daemon.process()
        assert again
        assert again.pid == process.pid
        daemon.stop()
        assert not process.is_running()
        assert not daemon.pid_file.exists()

    def test_one_that_ignores_sigterm_is_killed(self, tmp_path: Path) -> None:
        daemon = self.daemon(tmp_path, "trap '' TERM; echo ready; while :; do sleep 0.05; done")
        daemon.start()
        process = daemon.process()
        wait_for(lambda: "ready" in daemon.last_lines(), "says nothing", [daemon], 10)
        daemon.stop(seconds=0.3)
        assert process
        assert not process.is_running()

    def test_a_reused_process_id_is_not_taken_for_ours(self, tmp_path: Path) -> None:
        with subprocess.Popen(["sleep", "60"]) as stranger:
            try:
                daemon = self.daemon(tmp_path, "sleep 60")
                daemon.pid_file.write_text(json.dumps({"pid": stranger.pid, "started": "another boot 1"}))
                assert daemon.process() is None
                daemon.stop()
                assert stranger.poll() is None
            finally:
                stranger.kill()

    def test_one_that_was_killed_has_let_go_of_its_port(self, tmp_path: Path) -> None:
        """The first of many threads is a zombie before the last has ended and the port is free."""
        script = tmp_path / "server.py"
        script.write_text(
            "import socket, threading, time\n"
            "for _ in range(200): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
            "server = socket.create_server(('127.0.0.1', 0))\n"
            "print(f'port {server.getsockname()[1]}.', flush=True)\n"
            "threading.Event().wait(600)\n"
        )
        daemon = Daemon("server", [sys.executable, script], tmp_path, tmp_path)
        for _ in range(30):
            daemon.log.unlink(missing_ok=True)
            daemon.start()
            wait_for(lambda: "." in daemon.last_lines(), "says nothing", [daemon], 30)
            port = int(daemon.last_lines().split()[1].rstrip("."))
            process = daemon.process()
            assert process
            os.kill(process.pid, signal.SIGKILL)
            assert daemon.process() is None
            assert layouts.port_free("127.0.0.1", port)

    def test_a_port_that_a_process_is_letting_go_of_is_waited_for(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            assert not layouts.port_gets_free("127.0.0.1", port, 0.3)
            later = threading.Timer(0.5, server.close)
            later.start()
            assert layouts.port_gets_free("127.0.0.1", port, 30)
            later.join()

    def test_death_during_start_is_said_at_once_with_the_log(self, tmp_path: Path) -> None:
        daemon = self.daemon(tmp_path, "echo address already in use; exit 3")
        daemon.start()
        with pytest.raises(MachineError, match="address already in use") as caught:
            wait_for(lambda: False, "is not ready", [daemon], 30)
        assert str(daemon.log) in str(caught.value)

    def test_a_proxy_of_the_users_does_not_reach_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        daemon = self.daemon(tmp_path, "env; sleep 60")
        daemon.start()
        wait_for(lambda: "LANG=" in daemon.last_lines(50), "says nothing", [daemon], 10)
        assert "PROXY" not in daemon.last_lines(50)
        daemon.stop()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="embedded clusters are for Linux")
def test_mounts_below_knows_its_folder_from_one_with_a_longer_name() -> None:
    below = host.mounts_below(Path("/proc"))
    assert Path("/proc") in below
    assert not host.mounts_below(Path("/pro"))
