"""Entry point of `python -m dev`: makes the clone's Python environment, then hands over to it.

Only the standard library is used here, because nothing else is installed yet when it first runs.
What is installed is decided by requirements-dev.txt alone (every package pinned with its hash), so
the environment is rebuilt only when that file or the interpreter changes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from devkube import proxies
from ops import interruption
from ops.environment import PYTHON, VENV, hand_over
from ops.paths import ROOT

STAMP = VENV / ".storage-tiers-stamp"
LOCK = ROOT / "requirements-dev.txt"
VENV_SIZE = 500 << 20  # bytes, with room to unpack
OLDEST_PYTHON = (3, 11)


def fail(message: str) -> int:
    """Say what is wrong and what to do, in one or two lines, and give the exit status for it."""
    print(f"error: {message}", file=sys.stderr)
    return 1


def wanted_stamp() -> str:
    """What the environment must have been made from to be used as it is.

    That is this interpreter, and the lock file as it is now.
    """
    return f"{sys.version_info[:3]} {hashlib.sha256(LOCK.read_bytes()).hexdigest()}"


def stamp() -> str:
    """What the environment was made from; empty where it was never made whole."""
    return STAMP.read_text() if STAMP.exists() and PYTHON.exists() else ""


def try_lock(file: IO[bytes]) -> bool:
    """Lock the open file against other processes, without waiting; False when another has it.

    The lock goes with the process.
    """
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


@contextmanager
def one_installation_at_a_time() -> Iterator[None]:
    """Only one command installs into the environment at a time; a second one waits."""
    path = ROOT / ".dev" / "venv.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        waiting = False
        while not try_lock(file):
            if not waiting:
                print("Python packages: another command is installing them, waiting for that …", file=sys.stderr)
                waiting = True
            time.sleep(0.2)
        yield


def make_venv() -> None:
    """Make or bring up to date the virtual environment.

    An interrupted run leaves no stamp. The environment is then made anew: pip would take half a
    package for a whole one.
    Raises CalledProcessError when venv or pip fails; they have then said why.
    """
    if stamp() == wanted_stamp():
        return
    with one_installation_at_a_time():
        before = stamp()
        if before == wanted_stamp():  # another command has made it while this one waited
            return
        print("Python packages: installing into .venv (about 1 min the first time) …", file=sys.stderr)
        if before.rpartition(" ")[0] != wanted_stamp().rpartition(" ")[0]:
            if VENV.is_symlink() or VENV.is_file():  # of a link to another clone's only the link is ours
                VENV.unlink()
            subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        STAMP.unlink(missing_ok=True)
        pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input"]
        subprocess.run([*pip, "install", "--quiet", "--require-hashes", "-r", str(LOCK)], check=True, env=proxies.for_pip(os.environ))
        STAMP.write_text(wanted_stamp())


def why_not_made(failed: subprocess.CalledProcessError) -> str:
    """What to say when venv or pip has failed. Neither always says that the disk was full."""
    command = " ".join(str(part) for part in failed.cmd)
    free = shutil.disk_usage(ROOT).free
    if free < VENV_SIZE:
        hint = f"The disk that holds {ROOT} has {free >> 20} MiB free, and {VENV_SIZE >> 20} MiB are needed: free some disk space there."
    elif "pip" in failed.cmd:
        hint = "pip needs a package index that can be reached from here: check the network, PIP_INDEX_URL and HTTPS_PROXY."
        hint = f"{hint} {proxies.said()}".rstrip()
    else:
        hint = f"{ROOT} must be writable; and on Debian and Ubuntu the package python3-venv is needed."
    return f"the Python environment could not be made (`{command}` failed, see above).\n{hint}"


def main() -> int:
    """Prepare the environment and run the command line in it; returns the exit status."""
    if sys.version_info < OLDEST_PYTHON:
        return fail(f"Python {sys.version.split()[0]} is too old: use Python {'.'.join(map(str, OLDEST_PYTHON))} or newer.")
    try:
        make_venv()
    except subprocess.CalledProcessError as failed:
        return fail(why_not_made(failed))
    except OSError as problem:
        return fail(f"the Python environment in {VENV} could not be made: {problem}")
    except KeyboardInterrupt:
        print(interruption.MESSAGE, file=sys.stderr)
        return interruption.INTERRUPTED
    return hand_over("dev.start")


if __name__ == "__main__":
    sys.exit(main())
