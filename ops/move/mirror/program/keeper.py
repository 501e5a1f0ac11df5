"""Keeps Kafka Connect running in its container, while the file that says so is there.

It starts it again where it has ended, and ends it cleanly with the container. One file, standard
library only: `keeper.py FOLDER LOG COMMAND…`.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

POLL = 0.3
AGAIN = 5.0  # seconds before it is started again
ENDING = 60.0  # seconds in which it ends cleanly


class Keeper:
    """`folder` has the files on and state.json (worker.py)."""

    def __init__(self, folder: Path, log: Path, command: list[str]) -> None:
        self._folder, self._log, self._command = folder, log, command
        self._process: subprocess.Popen[bytes] | None = None
        self._ended: int | None = None
        self._at = -AGAIN
        self._since = 0.0
        self._stopping = False

    def run(self) -> None:
        """Until SIGTERM."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        while not self._stopping:
            self._look()
            time.sleep(POLL)
        self._end()

    def _look(self) -> None:
        wanted = (self._folder / "on").exists()
        if self._process is not None and self._process.poll() is not None:
            self._ended, self._process, self._at = self._process.returncode, None, time.monotonic()
        if not wanted:
            self._end()
            self._ended, self._at = None, -AGAIN
        elif self._process is None and time.monotonic() - self._at >= AGAIN:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self._since = time.time()
        self._say()

    def _say(self) -> None:
        state = {"runs": self._process is not None, "ended": self._ended, "since": self._since}
        new = self._folder / ".state.json"
        new.write_text(json.dumps(state), encoding="utf-8")
        new.replace(self._folder / "state.json")

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self._say()

    def _stop(self, *_: Any) -> None:  # noqa: ANN401 - a signal's number and frame
        self._stopping = True


if __name__ == "__main__":
    Keeper(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]).run()
