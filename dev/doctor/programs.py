"""Asks the programs on PATH who they are: the engine's parts, Docker, kind, Go."""

from __future__ import annotations

import json
import re
import shutil
import time

from dev.doctor.facts import DockerFacts, PartFacts, Program
from dev.doctor.question import SECONDS, Question, said
from devkube.engine import EXE, find_own, kept
from devkube.toolchain.build import go_environment
from devkube.versions import LANGUAGE, PULUMI, version_of


def part(name: str) -> PartFacts:
    """One part of the engine. The language host of an official engine is in the same folder."""
    left = kept(name)
    of_earlier = f"{left.version}, {left.origin}".lstrip(", ") if left else ""
    engine = find_own(PULUMI)
    if name == LANGUAGE and engine and engine.with_name(f"{LANGUAGE}{EXE}").exists():
        return PartFacts(kept=f"beside {engine}")
    own = find_own(name)
    return PartFacts(Program(str(own), version_of(own)) if own else None, of_earlier)


def docker() -> DockerFacts | None:
    """The Docker client and its engine."""
    path = shutil.which("docker")
    if path is None:
        return DockerFacts()
    endpoint = Question(lambda: said(path, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"))
    running = Question(lambda: said(path, "ps", "--quiet", "--filter", "label=io.x-k8s.kind.cluster"))
    info = said(path, "info", "--format", "{{json .}}")
    if info is None:
        return None
    try:
        found = json.loads(info.stdout)
    except ValueError:
        found = {}
    if not isinstance(found, dict):
        found = {}
    server = found.get("ServerVersion") or ""
    problems = found.get("ServerErrors") or [info.stderr]
    until = time.monotonic() + SECONDS
    at, nodes = endpoint.answer(until), running.answer(until)
    return DockerFacts(
        path,
        client=(found.get("ClientInfo") or {}).get("Version") or "",
        host=at.stdout.strip() if at and at.returncode == 0 else "",
        server=server,
        problem="" if server else " ".join(str(problems[0]).split()),
        cgroups=int(found.get("CgroupVersion") or 0),
        folder=found.get("DockerRootDir") or "",
        memory=found.get("MemTotal") or 0,
        nodes=len(nodes.stdout.split()) if nodes and nodes.returncode == 0 else 0,
    )


def kind() -> Program | None:
    """kind, and its version: it says `kind v0.33.0 go1.26.1 linux/amd64`."""
    return _program("kind", r"kind v(\S+)", "version")


def go() -> Program | None:
    """The Go that would build what can't be downloaded."""
    return _program("go", r"go(\d\S*)", "env", "GOVERSION")


def _program(name: str, version: str, *arguments: str) -> Program | None:
    path = shutil.which(name)
    if path is None:
        return Program()
    asked = said(path, *arguments, environment=go_environment())
    if asked is None:
        return None
    found = re.search(version, asked.stdout)
    return Program(path, found[1] if found and asked.returncode == 0 else "")
