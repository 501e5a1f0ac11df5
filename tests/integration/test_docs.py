"""The pages in docs/: their commands are run as they stand on the throw-away cluster, and print
what the pages say they print.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kubernetes import client

from devkube import paths
from devkube.cluster import Access
from devkube.images import reference
from tests.clean_up import remove_volumes
from tests.program import Program

DOCS = paths.ROOT / "docs"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """A line after `$ `, and the lines that it is said to print.

    `…` in them stands for anything.
    """

    line: str
    prints: list[str]


def commands(page: str) -> list[Command]:
    found: list[Command] = []
    for kind, block in _BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if kind == "console":
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                line, *prints = part.rstrip("\n").split("\n")
                found.append(Command(line, prints))
    return found


def files(page: str) -> dict[str, str]:
    """The YAML files that a page wants: blocks whose first line is a comment that begins with the
    file's name.
    """
    blocks = [block for kind, block in _BLOCK.findall((DOCS / page).read_text(encoding="utf-8")) if kind == "yaml"]
    return {named[1]: block for block in blocks if (named := re.match(r"# (\S+\.yaml):", block))}


def run(command: Command, folder: Path, variables: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -a; [ ! -f kept ] || . ./kept; {command.line}\nstatus=$?; echo \"folder='$folder'\" > kept; exit $status"],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    said = [" ".join(line.split()) for line in done.stdout.splitlines() if line.strip()]
    for expected in command.prints:
        pattern = ".*".join(re.escape(part) for part in " ".join(expected.split()).split("…"))
        assert any(re.fullmatch(pattern, line) for line in said), f"$ {command.line}\n{done.stdout}\nhas no line like: {expected}"
    refused = any(line.startswith(("error:", "Error from server")) for line in command.prints)
    assert (done.returncode != 0) == refused, f"$ {command.line}\nexit status {done.returncode}\n{done.stdout}"


@pytest.fixture(scope="module")
def variables(access: Access, busybox: str) -> dict[str, str]:
    if access.kind != "embedded":
        pytest.skip("the pages show paths and messages of the embedded node")
    return {**os.environ, "KUBECONFIG": str(access.kubeconfig)}


@pytest.fixture(scope="module")
def dev_stack(program_factory: Callable[..., Program], access: Access, core: client.CoreV1Api) -> Iterator[Program]:
    program = program_factory(access=access)
    program.configure(cluster={"context": access.context, "identifier": access.context}, canary={"enabled": False})
    program.up()
    yield program
    program.destroy()
    remove_volumes(core)


@pytest.mark.cluster
@pytest.mark.parametrize("page", ["local-path.md", "consumers.md"])
def test_what_a_page_says_is_what_happens(
    page: str, dev_stack: Program, variables: dict[str, str], core: client.CoreV1Api, tmp_path: Path
) -> None:
    for name, content in files(page).items():
        without_registry = f'{reference("busybox")}\n          command: [sh, -c, "mkdir -p $PGDATA; touch $PGDATA/x; sleep 3600"]'
        (tmp_path / name).write_text(content.replace("docker.io/library/postgres:17", without_registry))
    try:
        for command in commands(page):
            run(command, tmp_path, variables)
    finally:
        clean = "kubectl delete namespace try --ignore-not-found; kubectl -n data delete statefulset,secret --all --cascade=foreground"
        subprocess.run(["bash", "-c", clean], env=variables, capture_output=True)
    if page == "consumers.md":
        assert core.read_namespaced_persistent_volume_claim("data-postgres-0", "data").status.phase == "Bound"
        assert not core.list_namespaced_pod("data").items


def test_the_arithmetic(tmp_path: Path) -> None:
    assert len(commands("sizing.md")) == 4
    for command in commands("sizing.md"):
        run(command, tmp_path, dict(os.environ))


PAGES = [paths.ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_somewhere_and_commands_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
    targets = set(re.findall(r"^([a-z]+):", (paths.ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for target in re.findall(r"`make ([a-z]+)", text):
        assert target in targets, f"{page.name} names `make {target}`"


def test_every_page_is_in_the_readme() -> None:
    readme = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    assert not [page.name for page in DOCS.glob("*.md") if f"docs/{page.name}" not in readme]
