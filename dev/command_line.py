"""How every command line that uses devkube shows what devkube says: its progress and its errors as
this project's own."""

from __future__ import annotations

from typing import NoReturn

import click

from devkube import progress
from devkube.errors import MachineError
from ops import command_line, console


def run(command: click.Command, name: str) -> NoReturn:
    """Run a command line called `name`.

    A MachineError ends it as a UserError does, with exit status 1.
    """
    progress.report_to(console)
    command_line.run(command, name, MachineError)
