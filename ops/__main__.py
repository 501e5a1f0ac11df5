"""Entry point of `python -m ops`: hands over to the project's Python environment.

Only the standard library is used here: the interpreter that `python` names need not have the
project's packages.
"""

from __future__ import annotations

import sys

from ops.environment import PYTHON, VENV, hand_over


def main() -> int:
    """Run the command line in the environment that `pulumi install` or `make up` has made.

    Returns the exit status.
    """
    if not PYTHON.exists():
        print(f"error: there is no Python environment {VENV}.\nMake it: `pulumi install`, or `make up`.", file=sys.stderr)
        return 1
    return hand_over("ops.start")


if __name__ == "__main__":
    sys.exit(main())
