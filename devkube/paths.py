"""Where this tool has its things: in the clone that it belongs to, in the user's cache folder, and
on the machine.

Three lifetimes are kept apart on purpose. The cache can be deleted at any time and is shared by all
clones. `.dev/` is this clone's and small. What holds data (an embedded cluster's volumes) is in
neither, so that neither `git clean -fdx` nor deleting the clone deletes a database.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import platformdirs

ROOT = Path(__file__).resolve().parent.parent  # the clone
DOT_DEV = ROOT / ".dev"
VENV = ROOT / ".venv"  # the clone's Python environment, with what this tool needs
SCRIPTS = VENV / ("Scripts" if os.name == "nt" else "bin")
# Embedded clusters: <identity>/, with etcd and the volumes.
MACHINE_STATE = Path("/var/lib/storage-tiers")
# Their sockets and process ids: gone after a reboot, short enough for a socket.
MACHINE_RUN = Path("/run/storage-tiers")


def cache() -> Path:
    """The user's cache folder of this project (XDG_CACHE_HOME is honoured on Linux)."""
    return Path(platformdirs.user_cache_path("storage-tiers"))


def clone_identity() -> str:
    """A short name for this clone on this machine: the same for the same folder, another for
    another folder."""
    return hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]
