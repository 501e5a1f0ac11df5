"""What the program of a move says of the files at one end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

from ops.move.conversation import Event, alone, together
from ops.move.ends import End
from ops.move.kept import Entry, slim
from ops.move.process import Process
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

    def look(self, *ends: tuple[End, Callable[[Entry], None]]) -> None:
        """What is at each of these ends, side by side, is told to whom it comes with.

        The progress is the first one's. Raises as `entries` does.
        """
        with ExitStack() as started:
            told: dict[Process, Callable[[Entry], None]] = {}
            for end, hear in ends:
                process = end.run("look")
                started.callback(process.close)
                told[process] = hear
            first = next(iter(told))

            def take(process: Process, event: Event) -> None:
                if event["event"] == "entry":
                    told[process](event)
                elif event["event"] == "progress" and process is first:
                    self.progress.take(event)

            together(list(told), take, self._stop)

    def into(self, entries: list[Entry]) -> Callable[[Event], None]:
        """Puts what a program says is there into `entries`, and how far it is into the progress."""

        def hear(event: Event) -> None:
            if event["event"] == "entry":
                entries.append(slim(event))
            elif event["event"] == "progress":
                self.progress.take(event)

        return hear
