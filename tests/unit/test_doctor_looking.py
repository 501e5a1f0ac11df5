"""How the doctor finds its facts: with programs that say this and that, and with some that never
answer."""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from click.testing import CliRunner

from dev import cli as dev_cli
from dev import clone_cluster, lifecycle
from dev.doctor import cluster_facts, command, looking, programs, question
from dev.doctor.diagnosis import Diagnosis
from dev.doctor.facts import ClusterFacts, DockerFacts, Facts, FoundProgram, Inotify, PartFacts
from dev.doctor.question import Question, end_what_was_asked, said
from dev.doctor.rows import diagnose
from devkube import engine, paths
from devkube.cluster import Access, EmbeddedCluster, ExistingCluster, KindCluster, embedded, host, kind, layout
from devkube.cluster.embedded import INOTIFY_INSTANCES
from devkube.cluster.kind import checks
from devkube.cluster.kind.checks import DockerEngine
from devkube.errors import MachineError
from devkube.toolchain import build
from devkube.versions import DOWNLOADS, KUBERNETES, LANGUAGE, PULUMI
from ops.errors import UserError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the programs are scripts")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH besides the system's sh."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sleep").symlink_to("/bin/sleep")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, *lines: str) -> Path:
    file = folder / name
    file.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    file.chmod(0o755)
    return file


def running(word: str) -> list[psutil.Process]:
    """The programs below this process that run with a word among their arguments."""
    found = []
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # one that has ended: nobody has asked how as yet
            if word in each.cmdline():
                found.append(each)
    return found


# --- questions ------------------------------------------------------------------------------------


def test_a_question_without_an_answer_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    asked = Question(lambda: released.wait(60))
    assert asked.answer(time.monotonic()) is None
    released.set()
    assert asked.answer(time.monotonic() + 60) is True


def test_what_a_question_raises_is_raised_where_its_answer_is_wanted() -> None:
    def ask() -> None:
        raise UserError("no")

    with pytest.raises(UserError):
        Question(ask).answer(time.monotonic() + 60)


def test_a_program_that_never_ends_is_ended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question, "SECONDS", 0.1)
    program(path, "slow", "exec sleep 600")
    assert said("slow") is None
    assert said("not-there") is None
    assert running("600") == []


def test_programs_nobody_waits_for_any_more_are_ended(path: Path) -> None:
    asked = Question(lambda: engine.run_bounded([str(program(path, "slow", "exec sleep 601"))], 600))
    until = time.monotonic() + 60
    while not (asleep := running("601")):
        assert time.monotonic() < until
    end_what_was_asked()
    assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in asleep)
    assert asked.answer(time.monotonic() + 60) is not None


# --- programs -------------------------------------------------------------------------------------

INFO = {"ServerVersion": "28.1.0", "CgroupVersion": "2", "KernelVersion": "6.1.0", "OperatingSystem": "Debian", "DockerRootDir": "/d"}


def docker(path: Path, *, answers: bool = True, endpoint: str = "unix:///run/docker.sock") -> None:
    refuse = "echo 'permission denied: the socket' >&2; exit 1"
    program(
        path,
        "docker",
        'case "$1" in',
        "-v) echo Docker version 28.2.2, build e6534b4 ;;",
        f"version) {'echo 28.1.0' if answers else refuse} ;;",
        f"context) echo {endpoint} ;;",
        f"info) echo '{json.dumps(INFO) if answers else '{}'}' ;;",
        "ps) echo abc; echo def ;;",
        "inspect) exit 1 ;;",
        "esac",
    )


def test_docker_and_its_engine(path: Path) -> None:
    assert programs.docker() == DockerFacts()
    docker(path)
    engine = DockerEngine("28.1.0", "2", "6.1.0", "Debian", "/d", "")
    assert programs.docker() == DockerFacts(str(path / "docker"), "28.2.2", "unix:///run/docker.sock", engine)


def test_docker_without_an_engine_and_with_one_elsewhere(path: Path) -> None:
    docker(path, answers=False, endpoint="tcp://10.1.1.1:2375")
    found = programs.docker()
    assert found and found.engine is None and "permission denied" in found.silent and "another machine" in found.elsewhere


def test_docker_that_never_answers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "SECONDS", 0.1)
    program(path, "docker", "exec sleep 600")
    assert programs.docker() is None
    end_what_was_asked()


def test_docker_that_is_sent_where_nothing_answers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.255.255.1:2375")
    program(path, "docker", 'case "$1" in', 'context) echo "$DOCKER_HOST" ;;', "*) exec sleep 600 ;;", "esac")
    found = programs.docker()
    end_what_was_asked()
    assert found and found.engine is None and found.by_variable
    assert "Docker is on another machine (DOCKER_HOST: tcp://10.255.255.1:2375)" in found.elsewhere


def test_kind_and_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (programs.kind(), programs.go()) == (FoundProgram(), FoundProgram())
    program(path, "kind", "echo kind v0.33.0 go1.26.1 linux/amd64")
    program(path, "go", "echo go1.26.6")
    assert programs.kind() == FoundProgram(str(path / "kind"), "0.33.0")
    assert programs.go() == FoundProgram(str(path / "go"), "1.26.6")
    program(path, "kind", "echo kind v0.33.0; exit 1")
    program(path, "go", "echo devel")
    assert programs.kind() == FoundProgram(str(path / "kind"))
    assert programs.go() == FoundProgram(str(path / "go"))
    monkeypatch.setattr(question, "SECONDS", 0.1)
    program(path, "kind", "exec sleep 600")
    assert programs.kind() is None


def test_the_engine_on_path_and_what_an_earlier_run_has_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = {PULUMI: engine.Part(PULUMI, "3.1.0", "built here", Path("/x"))}
    monkeypatch.setattr(programs, "kept", left.get)
    assert programs.part(PULUMI) == PartFacts(None, "3.1.0, built here")
    assert programs.part(KUBERNETES) == PartFacts(None, "")
    own = program(path, PULUMI, "echo v3.300.1")
    assert programs.part(PULUMI) == PartFacts(FoundProgram(str(own), "3.300.1"), "3.1.0, built here")
    assert programs.part(LANGUAGE) == PartFacts(None, "")
    program(path, LANGUAGE)
    assert programs.part(LANGUAGE) == PartFacts(None, f"beside {own}")


def test_what_an_earlier_run_has_left_is_only_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is downloaded, built or written for it."""
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(paths, "DOT_DEV", tmp_path / ".dev")
    monkeypatch.setattr(build, "built", lambda _: None)
    assert [engine.kept(name) for name in (PULUMI, LANGUAGE, KUBERNETES, "pulumi-resource-command")] == [None] * 4
    assert list(tmp_path.iterdir()) == []
    plugin = tmp_path / "plugins" / f"resource-kubernetes-v{DOWNLOADS[KUBERNETES]}" / KUBERNETES
    plugin.parent.mkdir(parents=True)
    plugin.touch()
    assert engine.kept(KUBERNETES) == engine.Part(KUBERNETES, DOWNLOADS[KUBERNETES], "official download", plugin)


# --- the cluster ----------------------------------------------------------------------------------


def test_no_cluster_and_no_context_are_told_with_their_remedy() -> None:
    def none(context: str) -> ExistingCluster:
        raise MachineError(f"none for {context}", "do this")

    assert cluster_facts.about(lambda: "c", none) == ClusterFacts("c", None, "none for c", "do this")


@pytest.fixture
def ports() -> Iterator[socket.socket]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening


def test_which_cluster_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ports: socket.socket) -> None:
    monkeypatch.setattr(paths, "MACHINE_STATE", tmp_path / "state")
    monkeypatch.setattr(paths, "MACHINE_RUN", tmp_path / "run")
    about = cluster_facts.about
    assert about(lambda: "c", ExistingCluster) == ClusterFacts("c", "existing", made=True, running=True)
    kind = KindCluster("dev-test-doctor", "c", tmp_path / "kubeconfig")
    monkeypatch.setattr(cluster_facts, "kind_refusals", lambda *_, made: {"cgroups": f"made: {made}"})
    assert about(lambda: "c", lambda _: kind) == ClusterFacts("c", "kind", volumes=kind.volumes, refusals={"cgroups": "made: False"})
    node = EmbeddedCluster("dev-test-doctor", "c", tmp_path / "kubeconfig")
    assert about(lambda: "c", lambda _: node) == ClusterFacts("c", "embedded", volumes=node.volumes)
    assert cluster_facts.taken_ports(node) == ()
    taken = ports.getsockname()[1]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        free = closed.getsockname()[1]
    kept = layout.Layout("dev-test-doctor", "198.18.7.0/24", layout.Ports(free, taken, free, free, free, free, free))
    monkeypatch.setattr(layout, "load", lambda _: kept)
    monkeypatch.setattr(node, "processes", list)
    assert cluster_facts.taken_ports(node) == (taken,)
    monkeypatch.setattr(node, "processes", lambda: [7])
    assert cluster_facts.taken_ports(node) == ()


def test_why_kind_would_not_make_its_nodes(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `make up` asks before it makes them, with the same image and config."""
    file = tmp_path / "kind.yaml"
    file.write_text("kind: Cluster")
    asked: list[Any] = []

    def answer(text: str, *given: Any, **named: Any) -> str:
        asked.append((*given, *named.values()))
        return text

    monkeypatch.setattr(checks, "cgroup_refusal", partial(answer, "v1"))
    monkeypatch.setattr(checks, "inotify_shortage", partial(answer, "none left"))
    cluster = KindCluster("dev-test-doctor", "c", tmp_path / "kubeconfig", image="kindest/node:v1.36.1", config=str(file))
    assert cluster_facts.kind_refusals(cluster, made=False) == {} and asked == []
    docker(path)
    assert cluster_facts.kind_refusals(cluster, made=False) == {"cgroups": "v1", "inotify instances": "none left"}
    assert asked == [(checks.docker_engine(), (1, 36), "kind: Cluster"), (checks.docker_engine(), 2, 1)]
    assert cluster_facts.kind_refusals(cluster, made=True) == {"inotify instances": "none left"}


def kubeconfig(file: Path, url: str, name: str = "c") -> None:
    content = {
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": ""}}],
    }
    file.write_text(yaml.safe_dump(content))


def test_the_api_of_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", str(file))
    own = ClusterFacts("c", "existing", made=True, running=True)
    assert cluster_facts.ask_api(None) is None
    stopped = ClusterFacts("c", "kind", made=True)
    assert cluster_facts.ask_api(stopped) is stopped
    with socket.socket() as nobody:  # bound and not listening: refuses
        nobody.bind(("127.0.0.1", 0))
        kubeconfig(file, f"http://127.0.0.1:{nobody.getsockname()[1]}")
        found = cluster_facts.ask_api(own)
    assert found and found.server.startswith("http://127.0.0.1") and "refused" in found.unreached and found.proxy == ""
    kubeconfig(file, "https://10.9.8.7:6443")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:1")
    found = cluster_facts.ask_api(own)
    assert found and found.proxy == "http://127.0.0.1:1 (HTTPS_PROXY)" and found.unreached and "export NO_PROXY=" in found.remedy
    file.write_text("{")
    found = cluster_facts.ask_api(own)
    assert found and str(file) in found.unreached
    file.unlink()
    found = cluster_facts.ask_api(own)
    assert found and "no context" in found.unreached


class Version(BaseHTTPRequestHandler):
    """An API server that knows its version."""

    def do_GET(self) -> None:
        body = json.dumps({"gitVersion": "v1.34.4+k3s1"} if self.path == "/version" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def test_the_version_of_an_api_that_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Version) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        kubeconfig(tmp_path / "config", f"http://127.0.0.1:{server.server_port}")
        found = cluster_facts.ask_api(ClusterFacts("c", "existing", made=True, running=True))
        server.shutdown()
    assert found and (found.version, found.unreached) == ("1.34.4+k3s1", "")


# --- the machine ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["cgroup.controllers", "cgroup.procs"], "v2"),
        (["unified/cgroup.controllers", "memory/cgroup.procs"], "hybrid"),
        (["memory/cgroup.procs"], "v1"),
        ([], ""),
    ],
)
def test_cgroups(tmp_path: Path, files: list[str], expected: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert looking.cgroups(tmp_path) == expected


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux'")
def test_inotify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert looking.inotify(tmp_path) is None
    (tmp_path / "max_user_instances").write_text("128\n")
    (tmp_path / "max_user_watches").write_text("9000\n")
    monkeypatch.setattr(host, "inotify_instances_left", lambda wanted: wanted - 1)
    assert looking.inotify(tmp_path) == Inotify(128, 9000, INOTIFY_INSTANCES - 1)


def test_disks_are_those_of_the_folders_that_fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "cache", lambda: tmp_path / "not" / "made yet")
    images = tmp_path / "images"
    images.mkdir()
    by_kind = ClusterFacts("c", "kind", volumes=tmp_path / "volumes")
    assert [each.what for each in looking.disks(None, None)] == ["cache"]
    here = DockerEngine("28.1.0", "2", platform.release(), "Debian", str(images), "x86_64")
    found = looking.disks(by_kind, DockerFacts(engine=here))
    assert [each.what for each in found] == ["cache", "volumes", "Docker"] and all(each.free > 0 for each in found)
    desktop = replace(here, kernel="6.1.0-linuxkit")
    assert [each.what for each in looking.disks(by_kind, DockerFacts(engine=desktop))] == ["cache", "volumes"]


# --- the command ----------------------------------------------------------------------------------


def test_everything_has_an_answer_to_each_question_or_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of programs and of a cluster that never answer."""
    for module in (looking, programs, question):
        monkeypatch.setattr(module, "SECONDS", 0.3)
    for name in ("docker", "kind", "go", PULUMI):
        program(path, name, "exec sleep 600")
    released = threading.Event()

    def never(_: str) -> ExistingCluster:
        released.wait(60)
        return ExistingCluster("c")

    facts = looking.everything("make up", lambda: "c", never)
    end_what_was_asked()
    released.set()
    assert (facts.docker, facts.kind, facts.go, facts.cluster, facts.parts[PULUMI]) == (None, None, None, None, None)
    assert not any(row.fails for row in diagnose(facts))
    assert facts.python and facts.memory and facts.disks and "pulumi" in facts.packages


@pytest.mark.parametrize(("fails", "status"), [(False, 0), (True, 1)])
@pytest.mark.parametrize("as_json", [False, True])
def test_the_command(monkeypatch: pytest.MonkeyPatch, fails: bool, status: int, as_json: bool) -> None:
    rows = [Diagnosis("kind", "good", "0.33.0"), Diagnosis("disk [x]", "missing", "1 GiB", "free [some]", fails)]
    monkeypatch.setattr(looking, "everything", lambda *_: Facts())
    monkeypatch.setattr(command, "diagnose", lambda _: rows)
    done = CliRunner().invoke(dev_cli.cli, ["doctor", *(["--json"] if as_json else [])])
    assert done.exit_code == status
    if as_json:
        said = json.loads(done.stdout)
        assert said["good"] is not fails
        assert said["checks"][1] == {"subject": "disk [x]", "state": "missing", "found": "1 GiB", "mend": "free [some]", "fails": fails}


def test_a_stack_that_isn_t_there_and_a_file_that_names_no_context(tmp_path: Path) -> None:
    done = CliRunner().invoke(dev_cli.cli, ["doctor", "--stack", "nowhere"])
    assert isinstance(done.exception, UserError) and "Stacks there are: aws, dev, gcp" in str(done.exception)
    file = tmp_path / "Pulumi.x.yaml"
    for text in ("", "config: {}", "config: {storage-tiers:cluster: {context: 3}}", "config: {storage-tiers:cluster: dev}", "config: ["):
        file.write_text(text)
        with pytest.raises(MachineError):
            command.context_of(file)
    file.write_text("config: {storage-tiers:cluster: {context: mine, identifier: x}}")
    assert command.context_of(file) == "mine"


def test_a_clouds_stack_has_no_dev_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither `make up` nor the doctor take one for it; a context of the user's own they do."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(clone_cluster, "CLUSTER_FILE", tmp_path / "cluster.yaml")
    monkeypatch.setattr(embedded, "lacking", list)
    monkeypatch.setattr(kind, "lacking", lambda: ["no Docker"])
    up = CliRunner().invoke(dev_cli.cli, ["up", "--stack", "aws"])
    doctor = json.loads(CliRunner().invoke(dev_cli.cli, ["doctor", "--stack", "aws", "--json"]).stdout)
    [row] = [row for row in doctor["checks"] if row["subject"] == "cluster"]
    assert isinstance(up.exception, MachineError)
    assert row["fails"] and row["found"] == up.exception.message.rstrip(".") and row["mend"] == up.exception.hint
    assert "stack aws is for the provisioner ebs, and a dev cluster has volumes of local-path alone" in up.exception.message
    assert "`make rehearse STACK=aws`" in up.exception.hint
    kubeconfig(tmp_path / "config", "http://127.0.0.1:1", name="storage-tiers-aws")
    doctor = json.loads(CliRunner().invoke(dev_cli.cli, ["doctor", "--stack", "aws", "--json"]).stdout)
    assert "your own, context storage-tiers-aws" in str(doctor["checks"])


def test_it_is_the_same_command_with_less_to_load() -> None:
    assert dev_cli.cli.commands["doctor"] is command.doctor
    loaded = "import sys; import dev.doctor.command; sys.exit('components.settings' in sys.modules or 'pulumi' in sys.modules)"
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", loaded) == 0


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine with too few inotify instances left for an embedded node, and what was asked of it
    that takes a program."""
    asked: list[str] = []
    monkeypatch.setattr(host, "inotify_instances_left", lambda _: 3)
    monkeypatch.setattr(embedded, "lacking", list)
    for name in ("docker", "kind", "part", "go"):
        monkeypatch.setattr(programs, name, partial(asked.append, name))
    return asked


class UnstartedNode(EmbeddedCluster):
    """None that a test starts for real."""

    def start(self) -> Access:
        raise MachineError("it has begun")


NODE = UnstartedNode("dev-test-doctor", "storage-tiers-dev", Path("kubeconfig"))


def test_what_will_fail_before_a_cluster_is_started(crowded: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [found] = command.will_fail("dev", "c", NODE)
    assert (found.subject, found.fails, crowded) == ("inotify instances", True, [])
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    kubeconfig(tmp_path / "config", "http://127.0.0.1:1")
    [found] = command.will_fail("dev", "c", ExistingCluster("c"))
    assert (found.subject, found.mend) == ("cluster", "kubectl --context c get --raw /version")
    monkeypatch.setattr(cluster_facts, "kind_refusals", lambda *_, made: {})
    assert command.will_fail("dev", "c", KindCluster("dev-test-doctor", "c", tmp_path / "kubeconfig")) == []
    assert sorted(crowded) == ["docker", "kind"]


def test_make_up_says_it_before_it_begins(crowded: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def begin() -> None:
        raise MachineError("it has begun")

    monkeypatch.setattr(lifecycle, "cluster_by", lambda *_: NODE)
    monkeypatch.setattr(lifecycle, "ensure_engine", begin)
    with pytest.raises(MachineError, match="it has begun"):
        dev_cli.cli.main(["up"], standalone_mode=False)
    said = capsys.readouterr().err
    assert said.startswith("✗ inotify instances: missing: 3 left of") and "sysctl fs.inotify.max_user_instances=512" in said
