"""Second half of the entry point: answers for the environment until the command line is loaded.

Loading the packages takes half a second. In that time Ctrl-C may come, and an environment that
somebody has damaged shows.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from dev.__main__ import STAMP, fail
from ops.environment import VENV
from ops.interruption import end_at_once


def is_of_the_environment(problem: ImportError | SyntaxError) -> bool:
    """Whether an installed package is missing or broken, and not a module of this project."""
    if isinstance(problem, SyntaxError):
        return Path(problem.filename or "").is_relative_to(VENV)
    return (problem.name or "").partition(".")[0] not in {"components", "dev", "devkube", "ops", "review"}


def main() -> int:
    """Load the command line and run it; returns an exit status where that could not be done.

    The doctor has its own: what all the others need takes longer to load than its answer may.
    """
    end_at_once()
    try:
        command_line = import_module("dev.doctor.command" if sys.argv[1:2] == ["doctor"] else "dev.cli")
    except (ImportError, SyntaxError) as problem:
        if not is_of_the_environment(problem):
            raise
        STAMP.unlink(missing_ok=True)
        return fail(f"the Python environment {VENV} is damaged: {problem}.\nRun the same command again: it is then made anew.")
    status: int = command_line.main()
    return status


if __name__ == "__main__":
    sys.exit(main())
