"""What keeps the tunnel's container there until its pod is ended.

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.pause()
