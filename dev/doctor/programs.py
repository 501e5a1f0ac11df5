"""Asks the programs on PATH who they are: the engine's parts, Docker, kind, Go."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping

from dev.doctor.facts import DockerFacts, PartFacts, Program
from dev.doctor.question import SECONDS, Question, said
from devkube.cluster.kind import checks
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
    """The Docker client and its engine; None where they don't answer in time."""
    path = shutil.which("docker")
    if path is None:
        return DockerFacts()
    engine, silent = Question(checks.docker_engine), Question(lambda: checks.docker_silent() or "")
    other, elsewhere = Question(lambda: checks.not_docker() or ""), Question(lambda: checks.docker_elsewhere() or "")
    endpoint, client = Question(checks.docker_endpoint), Question(lambda: _program("docker", r"version (\d[^\s,]*)", "-v"))
    until = time.monotonic() + SECONDS
    texts = [question.answer(until) for question in (other, silent, elsewhere)]
    if any(text is None for text in texts):
        return None
    version = client.answer(until)
    not_docker, silent_, elsewhere_ = map(str, texts)
    return DockerFacts(
        path,
        version.version if version else "",
        endpoint.answer(until) or "",
        engine.answer(until),
        by_variable=bool(os.environ.get("DOCKER_HOST")),
        not_docker=not_docker,
        silent=silent_,
        elsewhere=elsewhere_,
    )


def kind() -> Program | None:
    """kind, and its version: it says `kind v0.33.0 go1.26.1 linux/amd64`."""
    return _program("kind", r"kind v(\S+)", "version")


def go() -> Program | None:
    """The Go that would build what can't be downloaded."""
    return _program("go", r"go(\d\S*)", "env", "GOVERSION", environment=go_environment())


def _program(name: str, version: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Program | None:
    path = shutil.which(name)
    if path is None:
        return Program()
    asked = said(path, *arguments, environment=environment)
    if asked is None:
        return None
    found = re.search(version, asked.stdout)
    return Program(path, found[1] if found and asked.returncode == 0 else "")
