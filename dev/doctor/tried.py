"""What was run with what: README's table, and the versions below which nothing was tried.

`python -m dev.doctor.tried` writes the table into README.md; a test says when it is behind.
"""

from __future__ import annotations

import re
from pathlib import Path

from devkube.paths import ROOT
from devkube.toolchain.build import KUBERNETES_VERSION, LOCAL_PATH_VERSION, OLDEST_GO
from devkube.versions import BUILT, COMMAND, DOWNLOADS, GOOD, KUBERNETES, LANGUAGE, PULUMI

OLDEST_PYTHON = "3.11"  # as in pyproject.toml; dev/__main__.py refuses older ones
OLDEST_KIND = (0, 33)
OLDEST_DOCKER = (20, 10)

# What was run besides what the tests have now. "In full": all tests; "by hand": up, a change,
# consumers, down and up, destroy.
_PIP = "pip's pulumi"
_BESIDES = {
    _PIP: {"pulumi 3.258.0": "in full", "pulumi 3.272.0": "by hand"},
    PULUMI: {"3.258.0": "in full", "3.274.1": "by hand"},
    KUBERNETES: {"4.18.1": "in full", "4.25.0": "by hand", "an official one after 4.32": "by hand"},
    LANGUAGE: {"the official one": "by hand"},
    COMMAND: {"the official 1.2.1": "by hand"},
}
_HEAD = ("part", "`make test` runs with", "was run besides", "which of yours is used")


def numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of a version, to compare; none for one that can't be read."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def pinned(package: str) -> str:
    """The version of a Python package in requirements.txt."""
    found = re.search(rf"^{re.escape(package)}==(\S+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"requirements.txt pins no {package}"
    return found[1]


def _besides(name: str, now: str = "") -> str:
    return ", ".join(f"{version} {how}" for version, how in _BESIDES[name].items() if version != now)


def rows() -> list[tuple[str, str, str, str]]:
    """Each part, what `make test` runs with, what was run besides, and which of yours are used."""
    packages = ", ".join(f"{name} {pinned(name)}" for name in ("pulumi", "pulumi-kubernetes", "pulumi-command"))
    stand_in = "this project's stand-in"
    built = "built from its Go module"
    go = ".".join(map(str, OLDEST_GO))
    return [
        ("engine", f"{BUILT[PULUMI]}, {built}", _besides(PULUMI, BUILT[PULUMI]), str(GOOD[PULUMI])),
        ("Python language host", stand_in, _besides(LANGUAGE), "the one beside your engine"),
        ("kubernetes plugin", f"{BUILT[KUBERNETES]}, {built}", _besides(KUBERNETES, BUILT[KUBERNETES]), str(GOOD[KUBERNETES])),
        ("command plugin", f"{stand_in}, by the contract of {DOWNLOADS[COMMAND]}", _besides(COMMAND), str(GOOD[COMMAND])),
        ("Python packages", packages, _besides(_PIP, f"pulumi {pinned('pulumi')}"), "none: they are pinned"),
        ("Python", OLDEST_PYTHON, "", f"{OLDEST_PYTHON} or newer"),
        ("Go, where something is built", "1.26", "", f"{go} or newer, else pip's"),
        ("Kubernetes", f"{KUBERNETES_VERSION}, embedded, with containerd 1.6 and local-path-provisioner {LOCAL_PATH_VERSION}", "", "any"),
        ("kind", f"0.33.0 with a node of Kubernetes {KUBERNETES_VERSION}, as root on Linux: a dev stack", "", "any"),
        ("Docker", "20.10.24 of Debian, with that kind", "", "any that kind takes"),
        ("machine", "Debian 12, cgroup v1", "", "Linux, macOS, Windows"),
    ]


def table() -> str:
    """README's table, with its head, as Markdown."""
    lines = [f"| {' | '.join(cell or '–' for cell in row)} |" for row in rows()]
    return "\n".join([f"| {' | '.join(_HEAD)} |", "|---|---|---|---|", *lines, ""])


def in_readme(text: str) -> str:
    """README with the table as it should be."""
    return re.sub(rf"(?m)^\| {_HEAD[0]} \| {_HEAD[1]} \|.*\n(\|.*\n)+", lambda _: table(), text, count=1)


def write(readme: Path) -> None:
    """Write README.md again."""
    readme.write_text(in_readme(readme.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write(ROOT / "README.md")
