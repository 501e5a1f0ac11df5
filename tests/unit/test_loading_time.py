"""What a command line loads before it does anything."""

from __future__ import annotations

import subprocess
import sys

import pytest

from devkube import paths


@pytest.mark.parametrize("module", ["ops.cli", "dev.cli"])
def test_a_command_line_does_not_load_pulumis_sdk(module: str) -> None:
    """It is half of the time in which the rest is loaded, and only the program needs it."""
    script = f"import sys, {module}; print([name for name in sys.modules if name.partition('.')[0] in ('pulumi', 'pulumi_kubernetes')])"
    done = subprocess.run([sys.executable, "-c", script], cwd=paths.ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
