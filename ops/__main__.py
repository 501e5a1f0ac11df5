"""Entry point of `python -m ops`: hands over to the command line in the project's virtual environment.

Only the standard library is used here: the interpreter that `python` names need not have the project's packages.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ops import interruption

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def main() -> int:
    """Run the command line in the environment that `pulumi install` or `make up` has made; returns the exit status."""
    if not PYTHON.exists():
        print(f"error: there is no Python environment {PYTHON.parent.parent}.\nMake it: `pulumi install`, or `make up`.", file=sys.stderr)
        return 1
    arguments = [str(PYTHON), "-m", "ops.start", *sys.argv[1:]]
    if os.name == "nt":  # exec on Windows returns to the shell at once, with the new process still running
        try:
            return subprocess.run(arguments, cwd=ROOT, env={**os.environ, "PYTHONUTF8": "1"}).returncode
        except KeyboardInterrupt:
            return interruption.INTERRUPTED
    os.chdir(ROOT)
    interruption.hold_back()
    os.execv(arguments[0], arguments)
    raise AssertionError("execv does not return")


if __name__ == "__main__":
    sys.exit(main())
