"""What runs in a pod of a move while nothing else does: it keeps the pod there.

It ends by itself once nobody has run anything beside it for a while: a machine that was switched
off in mid-move leaves no pod that holds a volume. Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import os
import signal
import sys
import time

LOOK = 5  # seconds between two looks


def others() -> bool:
    """Whether another process runs in this pod."""
    return any(name.isdigit() and int(name) != os.getpid() for name in os.listdir("/proc"))  # noqa: PTH208 - names are all


def main(idle: float) -> int:
    """Stay until nothing has run for `idle` seconds, or the pod is ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    last = time.monotonic()
    while time.monotonic() - last < idle:
        if others():
            last = time.monotonic()
        time.sleep(min(LOOK, idle))
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
