"""`python -m tests.kind COMMAND…`: a command with Docker and Kind from packages, which end with it.

For example `python -m tests.kind make up`, or `python -m tests.kind bash` to look around.
"""

from __future__ import annotations

import signal
import subprocess
import sys

from devkube.engine import ensure_engine
from devkube.errors import MachineError
from tests.kind.docker import lacking
from tests.kind.machine import docker_and_kind


def main() -> int:
    command = sys.argv[1:]
    if not command:
        print(__doc__)
        return 2
    if missing := lacking():
        print(f"error: Docker and Kind from packages can't run here: {'; '.join(missing)}.", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what it has started ends in order, too
    try:
        ensure_engine()  # what it downloads or builds needs the network
        with docker_and_kind():
            return subprocess.run(command).returncode
    except MachineError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
