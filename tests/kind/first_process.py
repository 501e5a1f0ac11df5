"""The first process in namespaces of its own: makes them fit for a Docker daemon, then waits.

It ends when its standard input does, which it does with whoever started it, however that ends. The
kernel then kills every process of the namespaces, and takes their mounts and networks away.
Run as a file, with the system's own Python and nothing but its standard library.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

# What the machine's other clusters have mounted. A copy of it in here would keep it busy.
OTHERS = ("/run", "/var/lib", "/var/tmp", "/tmp")


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def main() -> None:
    points = [line.split(" ")[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in reversed(points):  # the last one mounted lies on top
        if point.startswith(tuple(f"{folder}/" for folder in OTHERS)):
            subprocess.run(["umount", "--lazy", point], check=False, stdin=subprocess.DEVNULL)
    # Docker, containerd and their children keep sockets and locks in fixed places below /run.
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    run("ip", "link", "set", "lo", "up")
    # Orphans of the daemons become children of this process: the kernel shall reap them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
