"""The build cache of the toolchain, with a small Go module in place of the real ones: real Go,
seconds instead of minutes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import filelock
import psutil
import pytest

from devkube import paths
from devkube.errors import MachineError
from devkube.toolchain import build

NAME = cast("build.Name", "hello")

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="needs Go on PATH")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module `hello` with a recipe; returns its folder."""
    folder = tmp_path / "toolchain" / "hello"
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module example.invalid/hello\n\ngo 1.26\n")
    (folder / "main.go").write_text('package main\n\nvar name = "nobody"\n\nfunc main() { println("hello " + name) }\n')
    recipe = build.Recipe(title="Hello", estimate=1, packages={"hello": "."}, ldflags="-X main.name=world", links=(("also", "hello"),))
    monkeypatch.setattr(build, "HERE", folder.parent)
    monkeypatch.setattr(build, "RECIPES", {"hello": recipe})
    monkeypatch.setattr(paths, "cache", lambda: tmp_path / "cache")
    return folder


def test_a_build_is_whole_kept_and_found_again(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build.built(NAME) is None
    result = build.build(NAME)
    for executable in ("hello", "also"):
        assert subprocess.run([result / executable], capture_output=True, text=True, check=True).stderr == "hello world\n"
    assert build.built(NAME) == result
    assert not list(result.parent.glob("*.unfinished-*"))
    monkeypatch.setattr(build, "ensure_go", lambda: pytest.fail("built again"))
    assert build.build(NAME) == result


def test_the_key_follows_everything_that_decides_the_result(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {build.result_folder(NAME)}

    def changed() -> bool:
        before = len(seen)
        seen.add(build.result_folder(NAME))
        return len(seen) > before

    assert not changed()
    (module / "main.go").write_text((module / "main.go").read_text() + "\n")
    assert changed()
    (module / "sub").mkdir()
    (module / "sub" / "x.go").write_text("package sub\n")
    assert changed()
    (module / "sub" / "x.go").rename(module / "sub" / "y.go")
    assert changed()
    recipe = build.RECIPES[NAME]
    monkeypatch.setattr(build, "RECIPES", {"hello": build.Recipe(recipe.title, recipe.estimate, recipe.packages, "-s", recipe.links)})
    assert changed()
    monkeypatch.setattr(build, "go_version", lambda: "go1.99.0")
    assert changed()
    monkeypatch.setattr(build, "RECIPES", {"hello": build.Recipe("Other title", 99, recipe.packages, "-s", recipe.links)})
    assert not changed()


def test_half_a_result_is_built_again(module: Path) -> None:
    result = build.build(NAME)
    (result / "hello").write_bytes(b"")
    assert build.built(NAME) is None
    assert build.build(NAME) == result
    assert (result / "hello").stat().st_size > 0
    (result / "also").unlink()
    assert build.build(NAME) == result and (result / "also").exists()


def test_a_failure_says_what_go_said_and_leaves_nothing(module: Path) -> None:
    (module / "main.go").write_text("package main\n\nfunc main() { missing() }\n")
    with pytest.raises(MachineError) as raised:
        build.build(NAME)
    assert "undefined: missing" in raised.value.message
    log = paths.cache() / "built" / "hello.log"
    assert str(log) in raised.value.hint and "undefined: missing" in log.read_text()
    assert build.built(NAME) is None
    assert not list(log.parent.glob("hello.unfinished-*"))


BUILD_IN_ANOTHER_PROCESS = """
    import sys
    from pathlib import Path
    from devkube import paths
    from devkube.toolchain import build
    build.HERE = Path(sys.argv[1]).parent
    build.RECIPES = {"hello": build.Recipe("Hello", 1, {"hello": "."}, "-X main.name=world", (("also", "hello"),))}
    paths.cache = lambda: Path(sys.argv[2])
    build.ensure_go = lambda: sys.argv[3]
    print(build.build("hello"))
"""


def another(module: Path, go: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(BUILD_IN_ANOTHER_PROCESS), str(module), str(paths.cache()), go]
    return subprocess.Popen(command, cwd=paths.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture
def slow_go(tmp_path: Path) -> Path:
    """A `go` that never ends a build, and says which process it is."""
    script = tmp_path / "slow-go"
    script.write_text(
        f"#!/bin/sh\n[ $1 = list ] && exit 0\necho $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid\nsleep 100\n"
    )
    script.chmod(0o755)
    return script


def wait_for(path: Path) -> None:
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(group: int) -> list[str]:
    """What runs in a process group.

    One that has ended and that nobody has waited for doesn't run.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(str(process))
    return found


def test_an_interrupt_ends_go_and_leaves_nothing(module: Path, tmp_path: Path, slow_go: Path) -> None:
    process = another(module, str(slow_go))
    wait_for(tmp_path / "pid")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert not alive(int((tmp_path / "pid").read_text()))
    assert not list((paths.cache() / "built").glob("hello[.-]*unfinished*"))
    assert build.built(NAME) is None


def test_a_killed_build_is_never_taken_for_whole_and_cleaned_up_by_the_next(module: Path, tmp_path: Path, slow_go: Path) -> None:
    process = another(module, str(slow_go))
    wait_for(tmp_path / "pid")
    process.kill()
    process.communicate(timeout=30)
    os.killpg(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert list((paths.cache() / "built").glob("hello.unfinished-*"))
    assert build.built(NAME) is None
    result = build.build(NAME)
    assert build.built(NAME) == result
    assert not list((paths.cache() / "built").glob("hello.unfinished-*"))


def test_one_waits_for_another_and_builds_nothing_itself(module: Path) -> None:
    result = build.build(NAME)
    aside = result.with_name("aside")
    result.rename(aside)
    with filelock.FileLock(paths.cache() / "built" / "hello.lock"):
        process = another(module, "/nowhere/go")  # would fail if it built
        time.sleep(1.5)
        assert process.poll() is None
        aside.rename(result)  # what the build under way ends with
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and "waiting" in said and said.strip().endswith(str(result))


def test_go_is_shielded_from_the_users_flags(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=mod -tags=nonsense")
    monkeypatch.setenv("GOOS", "plan9")
    environment = build.go_environment()
    assert environment["GOFLAGS"] == "-mod=readonly" and "GOOS" not in environment and environment["GOTOOLCHAIN"] == "local"
    assert subprocess.run([build.build(NAME) / "hello"]).returncode == 0


def test_without_go_the_pinned_pip_package_decides_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_go_on_path", lambda: None)
    assert build.go_version().startswith("go1.26.")


@pytest.mark.parametrize(
    ("version", "new_enough"),
    [
        ("go1.26.6", True),
        ("go1.26.6 X:nodwarf5", True),
        ("go1.26.10", True),
        ("go1.27rc1", True),
        ("go1.27.0", True),
        ("go2.0", True),
        ("go1.26.5", False),
        ("go1.26rc2", False),
        ("go1.26", False),
        ("go1.25.99", False),
        ("devel go1.27-abcdef", False),
        ("", False),
    ],
)
def test_a_go_that_is_older_by_its_patch_is_left_alone(
    version: str, new_enough: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    go.write_text(f"#!/bin/sh\necho '{version}'\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(build, "OLDEST_GO", (1, 26, 6))
    build._go_at.cache_clear()
    try:
        assert build._go_on_path() == ((str(go), version) if new_enough else None)
    finally:
        build._go_at.cache_clear()


def test_the_oldest_go_is_what_the_modules_ask_for_and_the_pinned_one_is_not_older(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [re.findall(r"^go (\S+)$", file.read_text(encoding="utf-8"), re.MULTILINE) for file in build.HERE.glob("*/go.mod")]
    versions = [(*map(int, line.split(".")), 0)[:3] for lines in asked for line in lines]
    assert max(versions) == build.OLDEST_GO
    monkeypatch.setattr(build, "_go_on_path", lambda: None)
    assert build._is_new_enough(build.go_version())


@pytest.mark.parametrize(("gigabytes", "together"), [(16, True), (4, False)])
def test_two_builds_at_once_take_the_memory_of_two(gigabytes: int, together: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=gigabytes * 2**30))
    second = threading.Event()

    def build_the_second() -> None:
        with build._enough_memory():
            second.set()

    thread = threading.Thread(target=build_the_second)
    with build._enough_memory():
        thread.start()
        assert second.wait(30 if together else 0.3) is together
    thread.join(30)
    assert second.is_set()


def test_what_is_not_built_yet_is_said_by_its_step(module: Path) -> None:
    (title,) = build.unbuilt([NAME])
    assert title == f"{build.RECIPES[NAME].title}: building from its Go modules"
    build.build(NAME)
    assert build.unbuilt([NAME]) == {}
