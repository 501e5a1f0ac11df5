"""Which processes are what a killed engine of this stack has left, and that nobody else's are ever
ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from components.acceptance import component as acceptance
from ops.healing import orphans
from ops.paths import ROOT

STATE = "file:///home/ada/storage-tiers/.dev/state"
OTHER_CLONE = "file:///home/ada/other/.dev/state"
PLUGIN = ("/cache/pulumi-resource-kubernetes", "-logtostderr", "127.0.0.1:40123")
STAND_IN = "import sys; sys.path.insert(0, '/here'); from devkube.toolchain.stand_ins.command_provider import main; main()"
DRIVER = ("python", "-m", "components.canary.driver", "--context=dev", "--instance=dev", "prove")
ACCEPTANCE = ("python", *acceptance.DRIVER[1:], "--context=dev", "--instance=dev", "--engine=kafka", "accept")


def seen(
    command: tuple[str, ...] = PLUGIN, *, run: str | None = None, backend: str | None = STATE, folder: Path = ROOT
) -> orphans.ObservedProcess:
    variables = {orphans.RUN: run, "PULUMI_BACKEND_URL": backend}
    return orphans.ObservedProcess(command, {name: value for name, value in variables.items() if value is not None}, folder)


OURS = orphans.mark(STATE, "dev")


@pytest.mark.parametrize(
    ("process", "ours"),
    [
        (seen(run=OURS), True),
        (seen(("python3", "-u", "run_program.py"), run=OURS, folder=Path("/")), True),  # whatever our own run started
        (seen(run=orphans.mark(STATE, "prod")), False),
        (seen(run=orphans.mark(OTHER_CLONE, "dev")), False),
        (seen(run=orphans.mark(OTHER_CLONE, "dev"), backend=STATE), False),
        (seen(), True),  # of plain `pulumi`
        (seen(backend=OTHER_CLONE), False),
        (seen(backend=None), False),
        (seen(folder=Path("/home/ada/other")), False),
        (seen(("/usr/bin/pulumi-language-python", "-root=/here", "127.0.0.1:40123")), True),
        (
            seen(("python", "-u", "/bin/pulumi-language-python-exec", "--monitor", "127.0.0.1:40124", "--engine", "127.0.0.1:40123", ".")),
            True,
        ),
        (seen(("python", "-u", "-m", "pulumi.policy", "127.0.0.1:40123", "/here/policy")), True),
        (seen(("python", "-I", "-c", STAND_IN, "127.0.0.1:40123")), True),
        (seen(("python", "-u", "/here/devkube/toolchain/stand_ins/run_program.py", "--engine", "127.0.0.1:40123", ".")), True),
        (seen(("python", "-m", "debugpy", "--listen", "127.0.0.1:5678", "__main__.py")), False),
        (seen(("gunicorn", "-b", "127.0.0.1:8000", "--chdir", "/home/ada/pulumi-tiers", "app")), False),
        (seen(("etcdctl", "--endpoints=127.0.0.1:2379", "watch", "/")), False),
        (seen(("less", "/cache/pulumi-resource-kubernetes")), False),
        (seen(("vim", "Pulumi.yaml")), False),
        (seen(("bash",)), False),
        (seen(DRIVER), True),
        (seen(tuple(word.replace("dev", "prod") for word in DRIVER)), False),
        (seen(ACCEPTANCE), True),
        (seen(tuple(word.replace("dev", "prod") for word in ACCEPTANCE)), False),
    ],
)
def test_what_is_of_a_run(process: orphans.ObservedProcess, ours: bool) -> None:
    assert orphans.is_of(process, killed()) is ours


def killed(stack: str = "dev", backend: str = STATE, **how: bool) -> orphans.Killed:
    return orphans.Killed(stack, backend, backend, **{"only_stack": True, **how})


def test_a_backend_that_pulumi_login_has_chosen() -> None:
    logged_in = orphans.Killed("dev", STATE, None, only_stack=True)
    assert orphans.is_of(seen(backend=None), logged_in)
    assert not orphans.is_of(seen(), logged_in)
    assert not orphans.is_of(seen(backend=None, folder=Path("/home/ada/other")), logged_in)


def test_where_another_stack_is_locked_only_what_names_this_one_counts() -> None:
    assert not orphans.is_of(seen(), killed(only_stack=False))
    assert orphans.is_of(seen(run=OURS), killed(only_stack=False))
    assert orphans.is_of(seen(DRIVER), killed(only_stack=False))
    assert orphans.is_of(seen(ACCEPTANCE), killed(only_stack=False))


# An engine that starts a plugin, says its process id, and waits; both are this Python under other
# names.
ENGINE = """
import subprocess, sys, time
plugin = subprocess.Popen([sys.argv[1], "-c", "import time; time.sleep(600)", "127.0.0.1:40123"], start_new_session=True)
print(plugin.pid, flush=True)
time.sleep(600)
"""


class Run:
    """A real process called pulumi with a child that is a plugin."""

    def __init__(self, folder: Path, run: str, engine: str) -> None:
        for name in (engine, "pulumi-resource-kubernetes"):
            (folder / name).symlink_to(sys.executable)
        self.engine = subprocess.Popen(
            [folder / engine, "-c", ENGINE, folder / "pulumi-resource-kubernetes"],
            env={**os.environ, orphans.RUN: run},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.engine.stdout is not None
        self.plugin = psutil.Process(int(self.engine.stdout.readline()))
        while Path((self.plugin.cmdline() or [""])[0]).name != "pulumi-resource-kubernetes":
            time.sleep(0.01)

    def kill_engine(self) -> None:
        self.engine.kill()
        self.engine.wait()


@pytest.fixture(params=["pulumi", ".pulumi-wrapped"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path, orphans.mark(STATE, tmp_path.name), request.param)
    yield made
    made.kill_engine()
    if made.plugin.is_running():
        made.plugin.send_signal(signal.SIGKILL)


def test_real_processes(run: Run, tmp_path: Path) -> None:
    stack = tmp_path.name
    assert orphans.find(killed(stack)) == [], "its engine lives"
    run.kill_engine()
    assert orphans.find(killed("another")) == []
    assert orphans.find(killed(stack, OTHER_CLONE)) == []
    found = orphans.find(killed(stack))
    assert found == [run.plugin]
    assert orphans.end(found) == ["pulumi-resource-kubernetes"]
    assert not run.plugin.is_running() or run.plugin.status() == psutil.STATUS_ZOMBIE
    assert orphans.find(killed(stack)) == []
