"""The way between the two ends: a tunnel's program in the target's pod, joined on this machine to
a port of the source's pod, a port-forward for each connection.
"""

from __future__ import annotations

import json
import select
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from components.kube.api import KubeApi
from components.kube.errors import ApiError
from components.kube.portforward import PortForward
from ops.move.conversation import SILENCE, Broken
from ops.move.live.pod.tunnel import CLOSE, DATA, OPEN, TAKEN, WINDOW, Frames, frame
from ops.move.process import InPod

_FULL = 2**22  # bytes that wait for one end before no more is read from the other
_LOOK = 0.25  # seconds
_STARTING = 20  # seconds in which the tunnel listens


class Bridge:
    """Open from `open` to `close`, in a thread of its own. `bytes` have come from the source."""

    def __init__(self, source: KubeApi, source_pod: str, port: int, target: KubeApi, target_pod: str) -> None:
        """Each pod is its path in the API. Both APIs are the thread's alone."""
        self._source, self._source_pod, self._port = source, source_pod, port
        self._target, self._target_pod = target, target_pod
        self._forwards: dict[int, PortForward] = {}
        self._on_the_way: dict[int, int] = {}  # bytes that the tunnel hasn't passed on, by connection
        self._stop = threading.Event()
        self._listening = threading.Event()
        self._failure: Broken | None = None
        self._thread: threading.Thread | None = None
        self.bytes = 0
        self.ended = ""  # why the last connection to the source has

    def open(self, container: str, command: Sequence[str]) -> None:
        """Run the tunnel, and wait until it listens. Raises Broken and ApiError."""
        tunnel = InPod(self._target, self._target_pod, container, command)
        tunnel.name = "the tunnel in the target's pod"
        self._thread = threading.Thread(target=self._run, args=(tunnel,), daemon=True)
        self._thread.start()
        end = time.monotonic() + _STARTING
        while not self._listening.wait(_LOOK):
            self.check()
            if time.monotonic() > end:
                raise Broken(f"{tunnel.name} doesn't listen", passing=True)

    def check(self) -> None:
        """Raise Broken where it is no longer open."""
        if self._failure:
            raise self._failure

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """What fails meanwhile is told with the reason why its connection to the source ended."""
        try:
            yield
        except Broken as problem:
            why = f"; its connection to the source ended: {self.ended}" if self.ended else ""
            raise Broken(f"{problem}{why}", problem.failures, passing=problem.passing) from None

    def close(self) -> None:
        """End all connections."""
        self._stop.set()
        if self._thread:
            self._thread.join(10)

    def _run(self, tunnel: InPod) -> None:
        try:
            self._join(tunnel)
        except Broken as problem:
            self._failure = problem
        except (ApiError, OSError, ValueError) as problem:
            self._failure = Broken(f"the way to the source is broken: {problem}", passing=True)
        finally:
            if not self._stop.is_set() and self._failure is None:
                self._failure = Broken("the way to the source has ended", passing=True)
            tunnel.close()
            for each in self._forwards.values():
                each.close()

    def _join(self, tunnel: InPod) -> None:
        frames, heard, rest = Frames(), time.monotonic(), b""
        while not self._stop.is_set():
            self._wait(tunnel)
            tunnel.send()
            if not self._held:
                said = tunnel.receive()
                for kind, number, data in frames.feed(said.stdout):
                    self._take(tunnel, kind, number, data)
                *lines, rest = (rest + said.stderr).split(b"\n")
                for line in lines:
                    heard = time.monotonic()
                    if self._is_listening(line):
                        self._listening.set()
            else:
                heard = time.monotonic()
            for number in list(self._forwards):
                self._bring(tunnel, number)
            if tunnel.ended:
                raise Broken(f"{tunnel.name} is gone: {tunnel.reason or rest.decode(errors='replace') or 'it ended'}", passing=True)
            if time.monotonic() - heard > SILENCE:
                raise Broken(f"{tunnel.name} has given no sign of life for {SILENCE:.0f} s", passing=True)

    @property
    def _held(self) -> bool:
        """Whether the tunnel isn't read, because a connection to the source takes no more."""
        return any(each.backlog > _FULL for each in self._forwards.values())

    def _wait(self, tunnel: InPod) -> None:
        held = self._held
        forwards = {number: each for number, each in self._forwards.items() if not each.ended}
        read = [each for number, each in forwards.items() if self._has_room(tunnel, number)]
        reads = [*([] if held else tunnel.reads()), *(each.fileno() for each in read)]
        writes = [*tunnel.writes(), *(each.fileno() for each in forwards.values() if each.wants_to_send)]
        pending = (tunnel.pending and not held) or any(each.pending for each in read)
        select.select(reads, writes, [], 0 if pending else _LOOK)

    def _has_room(self, tunnel: InPod, number: int) -> bool:
        """Whether more may come from the source over a connection."""
        return tunnel.backlog <= _FULL and self._on_the_way[number] < WINDOW

    def _take(self, tunnel: InPod, kind: int, number: int, data: bytes) -> None:
        if kind == OPEN:
            try:
                self._forwards[number] = PortForward(self._source, self._source_pod, self._port)
                self._on_the_way[number] = 0
            except ApiError:  # the source's pod is being made anew: who has connected tries again
                tunnel.write(frame(CLOSE, number))
        elif number in self._forwards:
            if kind == DATA:
                self._forwards[number].write(data)
            elif kind == TAKEN:
                self._on_the_way[number] -= int.from_bytes(data, "big")
            elif kind == CLOSE:
                self._forwards.pop(number).close()

    def _bring(self, tunnel: InPod, number: int) -> None:
        forward = self._forwards[number]
        forward.send()
        has_room = self._has_room(tunnel, number)
        forward.keep_alive(reads=has_room)
        if not has_room:
            return
        data = forward.receive()
        if data:
            self.bytes += len(data)
            self._on_the_way[number] += len(data)
            tunnel.write(frame(DATA, number, data))
        if forward.ended:
            self.ended = forward.reason
            self._forwards.pop(number).close()
            tunnel.write(frame(CLOSE, number))

    @staticmethod
    def _is_listening(line: bytes) -> bool:
        with suppress(ValueError, TypeError, KeyError):
            return bool(json.loads(line)["event"] == "listening")
        return False
