"""What every plugin of the Pulumi engine does: serve gRPC on loopback, say the port on standard
output, end when told to.

A plugin must not outlive its engine, and must end without a word on SIGINT and SIGTERM, whatever it
is doing.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from types import FrameType

import grpc  # type: ignore[import-untyped]

# A stack's whole state can be in one message; the engine itself allows 400 MiB
# (sdk/go/common/util/rpcutil). The engine is on this machine: a proxy has no part in it.
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", 400 << 20),
    ("grpc.max_send_message_length", 400 << 20),
    ("grpc.enable_http_proxy", 0),
]

# A call may run for as long as a program does, so each that is under way needs a thread of its own.
_WORKERS = 128
_ENGINE = os.getppid()  # as early as can be: it may be killed while this starts
_LOOK = 0.1  # seconds between two looks whether it is there


class Children:
    """The processes that a plugin has started: none of them may outlive it."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._ended = False

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """Take responsibility for `process`."""
        with self._lock:
            self._running.add(process)
            ended = self._ended
        if ended:
            stop(process)

    def remove(self, process: subprocess.Popen[bytes]) -> None:
        """`process` has ended."""
        with self._lock:
            self._running.discard(process)

    def end(self) -> None:
        """End all of them, now and for those that are still to be added."""
        with self._lock:
            self._ended = True
            running = list(self._running)
        for process in running:
            stop(process)


def stop(process: subprocess.Popen[bytes], grace: float = 2.0) -> None:
    """End `process`: it has `grace` seconds to do so by itself."""
    with contextlib.suppress(OSError):
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=grace)
        return
    with contextlib.suppress(OSError):
        process.kill()


def engine_address() -> str:
    """The engine's address: the last argument.

    What comes before it are logging flags for plugins written in Go.
    """
    if len(sys.argv) < 2 or ":" not in sys.argv[-1]:
        sys.exit(f"{sys.argv[0]}: this is a plugin of the Pulumi engine, which starts it with its address as the last argument")
    return sys.argv[-1]


def serve(register: Callable[[grpc.Server], None], children: Children) -> None:
    """Serve what `register` adds until a signal comes or the engine is gone; does not return."""
    gc.freeze()  # what was loaded stays
    gc.enable()
    ended = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=_WORKERS), options=CHANNEL_OPTIONS)
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    while not ended.wait(_LOOK):
        if os.getppid() != _ENGINE:  # the engine was killed: nobody is left to say stop
            break
    server.stop(None)
    children.end()
    _end_group()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    # Not sys.exit: it would wait for the threads of calls that can't be answered any more.
    os._exit(0)


def _end_group() -> None:
    """End what the children have started themselves (a shell's commands): the engine gives each
    plugin a process group of its own."""
    if os.name == "nt" or os.getpgrp() != os.getpid():
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.killpg(os.getpgrp(), signal.SIGTERM)
