"""The settings of a stack, read from its file: for commands that run without Pulumi."""

from __future__ import annotations

from pathlib import Path

from components.settings import Settings, SettingsError, load
from ops.errors import UserError
from ops.paths import ROOT
from ops.stack_file import raw_config


def stack_file(stack: str, folder: Path = ROOT) -> Path:
    """The settings file of `stack`.

    Raises UserError when there is none, naming the stacks there are.
    """
    path = folder / f"Pulumi.{stack}.yaml"
    if not path.exists():
        known = ", ".join(sorted(found.name.split(".")[1] for found in folder.glob("Pulumi.*.yaml")))
        raise UserError(f"stack {stack!r}: there is no {path.name} in the project folder.", f"Stacks there are: {known}.")
    return path


def load_settings(stack: str) -> Settings:
    """The checked settings of `stack`, before any engine or cluster is needed.

    Raises UserError with every problem at once.
    """
    path = stack_file(stack)
    try:
        return load(raw_config(path), stack)
    except SettingsError as problem:
        raise UserError(str(problem)) from None
