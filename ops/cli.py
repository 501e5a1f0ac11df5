"""The command line `python -m ops`: what an operator runs against any stack, one command each."""

from __future__ import annotations

from typing import NoReturn

import click

from ops import command_line
from ops.drift.commands import drift


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def cli() -> None:
    """What an operator runs against a stack and its cluster; the cluster is the context that the stack's settings name.

    KUBECONFIG says where that context is, as for kubectl and pulumi.
    """


cli.add_command(drift)


def main() -> NoReturn:
    """Run the command line."""
    command_line.run(cli, "python -m ops")


if __name__ == "__main__":
    main()
