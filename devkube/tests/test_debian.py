"""Files out of Debian's packages: what is said where there is no apt."""

from __future__ import annotations

from pathlib import Path

import pytest

from devkube import paths
from devkube.debian import unpack
from devkube.errors import MachineError


@pytest.mark.parametrize(
    ("there", "missing"),
    [((), "apt-get, dpkg-deb"), (("apt-get",), "dpkg-deb"), (("dpkg-deb",), "apt-get")],
    ids=["no apt", "no dpkg", "dpkg"],
)
def test_what_is_missing_is_named(there: tuple[str, ...], missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in there:
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError) as raised:
        unpack(["runc", "containernetworking-plugins"])
    assert str(raised.value) == (
        f"the packages runc containernetworking-plugins can't be had: these programs are not on PATH: {missing}.\n"
        "Install the packages yourself (runc containernetworking-plugins, or what your distribution calls them), then run this again."
    )


class Machine:
    """A machine with an apt that notes each question, and knows of one package, in two versions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lists, self.settings = folder / "lists", folder / "etc"
        for made in (self.lists, self.settings, folder / "bin"):
            made.mkdir()
        self.offer("1.0")
        self.program(
            "apt-config", f"echo \"lists='{self.lists}/'\"; echo \"settings='{self.settings}/'\"; echo \"status='{folder}/status'\""
        )
        uri = f"""echo "'http://debian.example/tool.deb' tool_$(cat {self.lists}/Packages).deb 1 SHA256:00" """
        self.program(
            "apt-get",
            f'echo "$*" >> {folder}/asked\ncase "$*" in *--print-uris*) {uri};; *) cp {self.lists}/Packages tool_1.deb;; esac',
        )
        self.program("dpkg-deb", 'cp "$2" "$3/tool"')

    def program(self, name: str, script: str) -> None:
        (self.folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.folder / "bin" / name).chmod(0o755)

    def offer(self, version: str) -> None:
        """The lists have this version of the package from now on."""
        (self.lists / "Packages").write_text(version)

    def questions(self) -> int:
        """How often apt was asked anything since the last time."""
        asked = self.folder / "asked"
        count = len(asked.read_text().splitlines()) if asked.exists() else 0
        asked.unlink(missing_ok=True)
        return count


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(paths, "cache", lambda: tmp_path / "cache")
    return made


def test_apt_is_asked_again_only_when_something_has_changed(machine: Machine) -> None:
    first = unpack(["tool"])
    assert (first / "tool").read_text() == "1.0"
    assert unpack(["tool"]) == first
    assert machine.questions() > 0
    assert unpack(["tool"]) == first
    assert machine.questions() == 0
    (machine.settings / "preferences").write_text("Package: tool\n")
    assert unpack(["tool"]) == first
    assert machine.questions() == 1
    machine.offer("1.0.1")
    newer = unpack(["tool"])
    assert newer != first
    assert (newer / "tool").read_text() == "1.0.1"


def test_what_is_not_whole_any_more_is_fetched_again(machine: Machine) -> None:
    for _ in range(2):
        folder = unpack(["tool"])
    machine.questions()
    (folder / "tool").unlink()
    assert unpack(["tool"]) == folder
    assert (folder / "tool").read_text() == "1.0"
    assert machine.questions() > 0


def test_without_apt_config_apt_is_asked_each_time(machine: Machine) -> None:
    machine.program("apt-config", "exit 1")
    for _ in range(2):
        unpack(["tool"])
    machine.questions()
    unpack(["tool"])
    assert machine.questions() == 1
