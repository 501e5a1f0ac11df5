"""Asks the programs on PATH who they are: the engine's parts, Docker, kind, Go."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping

from dev.doctor.facts import DockerFacts, FoundProgram, PartFacts
from dev.doctor.question import SECONDS, Question, said
from devkube.cluster.kind import checks
from devkube.cluster.kind.checks import DockerEngine
from devkube.engine import EXE, find_own, kept
from devkube.toolchain.build import go_environment
from devkube.versions import LANGUAGE, PULUMI, version_of

_OF_THE_TIME = 0.9  # that the doctor has for its answer, so that this one comes within it


def part(name: str) -> PartFacts:
    """One part of the engine. The language host of an official engine is in the same folder."""
    left = kept(name)
    of_earlier = f"{left.version}, {left.origin}".lstrip(", ") if left else ""
    engine = find_own(PULUMI)
    if name == LANGUAGE and engine and engine.with_name(f"{LANGUAGE}{EXE}").exists():
        return PartFacts(kept=f"beside {engine}")
    own = find_own(name)
    return PartFacts(FoundProgram(str(own), version_of(own)) if own else None, of_earlier)


def docker() -> DockerFacts | None:
    """The Docker client and its engine; None where they don't answer in time.

    Of an engine that is elsewhere that is told all the same: a host that can't be reached is silent
    for long.
    """
    path = shutil.which("docker")
    if path is None:
        return DockerFacts()
    until = time.monotonic() + SECONDS * _OF_THE_TIME
    asked_client, asked_engine = Question(_docker_client), Question(_docker_engine)
    asked_endpoint, asked_elsewhere = Question(checks.docker_endpoint), Question(lambda: checks.docker_elsewhere() or "")
    client, engine, elsewhere = asked_client.answer(until), asked_engine.answer(until), asked_elsewhere.answer(until)
    if elsewhere is None or (not elsewhere and (client is None or engine is None)):
        return None
    version, not_docker = client or ("", "")
    found, silent = engine or (None, "it does not answer in time")
    return DockerFacts(
        path,
        version,
        asked_endpoint.answer(until) or "",
        found,
        by_variable=bool(os.environ.get("DOCKER_HOST")),
        not_docker=not_docker,
        silent=silent,
        elsewhere=elsewhere,
    )


def _docker_client() -> tuple[str, str]:
    """The client's version, or a sentence where it is another program."""
    found = _program("docker", r"^Docker version (\d[^\s,]*)", "-v")
    return (found.version, "") if found and found.version else ("", checks.not_docker() or "")


def _docker_engine() -> tuple[DockerEngine | None, str]:
    """The engine, or a sentence where none answers."""
    engine = checks.docker_engine()
    return engine, "" if engine else checks.docker_silent() or ""


def kind() -> FoundProgram | None:
    """kind, and its version: it says `kind v0.33.0 go1.26.1 linux/amd64`."""
    return _program("kind", r"kind v(\S+)", "version")


def go() -> FoundProgram | None:
    """The Go that would build what can't be downloaded."""
    return _program("go", r"go(\d\S*)", "env", "GOVERSION", environment=go_environment())


def _program(name: str, version: str, *arguments: str, environment: Mapping[str, str] | None = None) -> FoundProgram | None:
    path = shutil.which(name)
    if path is None:
        return FoundProgram()
    asked = said(path, *arguments, environment=environment)
    if asked is None:
        return None
    found = re.search(version, asked.stdout)
    return FoundProgram(path, found[1] if found and asked.returncode == 0 else "")
