"""Which Python a project or policy pack wants, and how its virtual environment is made: as the
official host decides it (pulumi/pulumi, sdk/python/toolchain)."""

# ruff: noqa: ANN401 - gRPC's generated messages have no types
from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import json_format  # type: ignore[import-untyped]


class Unusable(Exception):
    """The project's Python can't be used; the text says why and what to do."""


class InstallationFailed(Exception):
    """A command that makes a virtual environment, or installs into it, has failed; the text says
    which."""


def options_of(info: Any) -> dict[str, Any]:
    """The `options` of the runtime in Pulumi.yaml or PulumiPolicy.yaml."""
    return dict(json_format.MessageToDict(info.options))


def virtualenv_of(root: str, options: Mapping[str, Any]) -> Path | None:
    """The virtual environment that the options name, or None.

    Raises Unusable for a tool that this host doesn't know.
    """
    toolchain = str(options.get("toolchain") or "pip").lower()
    if toolchain not in {"pip", "uv"}:
        raise Unusable(
            f"the runtime option toolchain is {toolchain!r}: this stand-in for Pulumi's Python host knows pip and uv; "
            "use one of these, or install the official Pulumi CLI"
        )
    named = str(options.get("virtualenv") or (".venv" if toolchain == "uv" else ""))
    return Path(root) / named if named else None


def python_in(virtualenv: Path) -> Path:
    """Where the Python of a virtual environment is, whether it is there or not."""
    return virtualenv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def is_missing(virtualenv: Path) -> bool:
    """Whether there is nothing yet where a virtual environment should be: no folder, or an empty
    one.

    Anything else is a person's, and is never written over.
    """
    return not virtualenv.exists() or (virtualenv.is_dir() and not any(virtualenv.iterdir()))


def installation(virtualenv: Path | None, python: str, folder: Path) -> list[list[str]]:
    """The commands that make `virtualenv` where there is none, and install into it (or into the
    `python` of a project without one) what the program in `folder` requires.

    The official host upgrades pip, setuptools and wheel first. This one leaves them as they are.
    """
    commands: list[list[str]] = []
    if virtualenv and not (virtualenv / "pyvenv.cfg").exists():
        commands.append([sys.executable, "-m", "venv", str(virtualenv)])
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    if (folder / "requirements.txt").exists():
        commands.append([*pip, "-r", "requirements.txt"])
    elif (folder / "pyproject.toml").exists():
        commands.append([*pip, "."])
    return commands


def interpreter(root: str, options: Mapping[str, Any]) -> str:
    """The Python that runs a program or plugin of the project in `root`.

    Raises Unusable when the environment that the project names isn't there, or there is no Python
    at all.
    """
    virtualenv = virtualenv_of(root, options)
    if virtualenv:
        python = python_in(virtualenv)
        if not python.exists():
            what = "doesn't appear to be a virtual environment" if virtualenv.is_dir() else "doesn't exist"
            raise Unusable(
                f"The 'virtualenv' option in Pulumi.yaml is set to {str(options.get('virtualenv', '.venv'))!r}, but {virtualenv} {what}; "
                "run `pulumi install` to create it and install the project's packages into it."
            )
        return str(python)
    asked = os.environ.get("PULUMI_PYTHON_CMD")
    for name in (asked,) if asked else ("python3", "python"):
        found = shutil.which(name)
        if found:
            return found
    raise Unusable(
        f"no Python on PATH (looked for {asked or 'python3, python'}): install Python or set the virtualenv option in Pulumi.yaml"
    )


def environment_for(python: str, virtualenv: Path | None, additions: Sequence[str] = ()) -> dict[str, str]:
    """The environment of a program: as if its virtual environment were activated.

    `additions` are NAME=value.
    """
    environment = dict(os.environ)
    for addition in additions:
        name, _, value = addition.partition("=")
        environment[name] = value
    if virtualenv:
        environment["VIRTUAL_ENV"] = str(virtualenv)
        environment["PATH"] = os.pathsep.join([str(Path(python).parent), environment.get("PATH", "")])
        environment.pop("PYTHONHOME", None)
    return environment
