"""How a command line of this project ends: errors in a line or two, exit statuses, Ctrl-C."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

import click

from components.kube.errors import ApiError
from ops.console import console, errors
from ops.errors import UserError, fault_of_the_machine
from ops.interruption import INTERRUPTED, MESSAGE, ignore, raise_again

DEFAULT_STACK = "dev"
stack_option = click.option("--stack", default=DEFAULT_STACK, show_default=True, help="Which stack: Pulumi.<stack>.yaml.")
yes_option = click.option("--yes", is_flag=True, help="Don't ask.")
_UNANSWERED = UserError(
    "the question has no answer: standard input is at its end. Nothing was deleted.", "Answer it at a terminal, or give --yes."
)


def option_of(stack: str) -> str:
    """What a printed command ends with so that it acts on `stack`: ``""`` for the default one, else
    ` --stack <stack>`."""
    return "" if stack == DEFAULT_STACK else f" --stack {stack}"


def variable_of(stack: str) -> str:
    """The same for a `make` command: ` STACK=<stack>`."""
    return "" if stack == DEFAULT_STACK else f" STACK={stack}"


def run(command: click.Command, name: str, *foreseen: type[Exception]) -> NoReturn:
    """Run a command line called `name`.

    A UserError becomes a line or two and its status, Ctrl-C becomes status 130.

    Errors of the types `foreseen` are shown as a UserError is, with status 1: those of tools that
    know nothing of this project.
    """
    # As Ctrl-C, also where that is ignored (nohup).
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        raise_again()
        command(standalone_mode=False, prog_name=name)
        status = 0
    except UserError as problem:
        status = _show(problem)
    except foreseen as problem:
        status = _show(UserError(str(problem)))
    except ApiError as problem:
        from ops.kube import explained  # noqa: PLC0415 - the client that it brings is there by then

        status = _show(explained(problem))
    except OSError as problem:
        shown = fault_of_the_machine(problem)
        if shown is None:
            raise
        status = _show(shown)
    except click.ClickException as problem:
        problem.show()
        status = problem.exit_code
    except (KeyboardInterrupt, click.Abort) as ended:
        # click's confirm makes an Abort of Ctrl-C, and of a standard input that has no answer.
        unanswered = isinstance(ended.__context__, EOFError)
        if unanswered:
            console.print()  # the question's line
        status = _show(_UNANSWERED) if unanswered else INTERRUPTED
    except RuntimeError as problem:
        # Before Python 3.12: Ctrl-C has come while a module that is loaded late made its classes.
        if not isinstance(problem.__cause__, KeyboardInterrupt):
            raise
        status = INTERRUPTED
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    if status == INTERRUPTED:
        errors.print(MESSAGE)
    console.file.flush()
    ignore()
    sys.exit(status)


def _show(problem: UserError) -> int:
    errors.print("[red]error:[/] ", end="")
    errors.print(str(problem), markup=False)
    return problem.status
