"""Python's packages by pip in a folder of their own, by their hashes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from devkube import proxies
from devkube.errors import MachineError


def install(what: str, requirements: Path, target: Path, *options: str) -> None:
    """Put the wheels that a file of requirements names into a folder.

    Without options they are for the Python that runs here. `what` they are is for messages.
    Raises MachineError.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet", "--no-compile"]
    pip += ["--require-hashes", "--only-binary=:all:", *options, "-r", str(requirements), "--target", str(target)]
    answer = subprocess.run(pip, capture_output=True, text=True, env=proxies.for_pip(os.environ))
    if answer.returncode != 0:
        cause = next(iter(reversed(answer.stderr.strip().splitlines())), "pip says nothing")
        hint = "pip needs a package index that can be reached from here: check the network, PIP_INDEX_URL and HTTPS_PROXY."
        raise MachineError(f"{what} could not be had: {cause}", f"{hint} {proxies.said()}".rstrip())
