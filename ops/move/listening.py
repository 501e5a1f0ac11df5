"""What the program of a move says of the files at one end."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ops.move.conversation import Event, alone
from ops.move.ends import End
from ops.move.kept import Entry, slim
from ops.move.progress import Progress


class MoveListener:
    """Listens to the programs of one move, for as long as nobody sets `stop`."""

    def __init__(self, progress: Progress, stop: threading.Event) -> None:
        self.progress = progress
        self._stop = stop

    def entries(self, mode: str, end: End, *arguments: str, told: bytes = b"") -> list[Entry]:
        """What is there, by a program that runs at this end in this mode, and is told something.

        Raises Broken, ApiError and Interrupted.
        """
        found: list[Entry] = []
        process = end.run(mode, *arguments)
        if told:
            process.write(told)
        alone(process, self.into(found), self._stop)
        return found

    def into(self, entries: list[Entry]) -> Callable[[Event], None]:
        """Puts what a program says is there into `entries`, and how far it is into the progress."""

        def hear(event: Event) -> None:
            if event["event"] == "entry":
                entries.append(slim(event))
            elif event["event"] == "progress":
                self.progress.take(event)

        return hear
