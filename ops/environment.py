"""The project's Python environment, and how an entry point hands over to it.

Only the standard library is used here: the environment may not be made yet.
"""

from __future__ import annotations

import os
import subprocess
import sys

from ops import interruption
from ops.paths import ROOT

VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def hand_over(module: str) -> int:
    """Run `module` in the environment, with this process' arguments, from the project's folder.

    It takes this process' place, and nothing is returned; on Windows it returns the exit status.
    Ctrl-C is held back until the module calls `interruption.end_at_once`.
    """
    arguments = [str(PYTHON), "-m", module, *sys.argv[1:]]
    if os.name == "nt":  # exec on Windows returns to the shell at once, with the new process still running
        try:
            # Windows' own encodings have no ✓ and no ×.
            return subprocess.run(arguments, cwd=ROOT, env={**os.environ, "PYTHONUTF8": "1"}).returncode
        except KeyboardInterrupt:
            return interruption.INTERRUPTED
    os.chdir(ROOT)
    interruption.hold_back()
    os.execv(arguments[0], arguments)
    raise AssertionError("execv does not return")
