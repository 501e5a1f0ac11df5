"""One program run in a container until it ends, with its words as they come."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence

from components.kube.api import KubeApi
from ops.move.conversation import Broken
from ops.move.process import InPod

_LOOK = 0.25  # seconds between two looks at the clock
_ALIVE = 10.0  # seconds between two looks whether the pod is still there
_LINES = 5  # of what a program complains about


def call(
    api: KubeApi,
    pod: str,
    container: str,
    command: Sequence[str],
    *,
    stdin: bytes = b"",
    longest: float = 60,
    hear: Callable[[str], None] = lambda _: None,
    check: Callable[[], None] = lambda: None,
) -> str:
    """What a program says on stdout. `pod` is the pod's path in the API.

    `hear` gets each line of stderr, `check` is called all the time and may raise. Raises Broken
    where the program fails, is gone, or takes longer than `longest` seconds, and ApiError.
    """
    running = InPod(api, pod, container, command)
    output, rest = bytearray(), b""
    complaints: list[str] = []
    began = looked = time.monotonic()
    try:
        running.write(stdin)
        while not running.ended:
            check()
            select.select(running.reads(), running.writes(), [], 0 if running.pending else _LOOK)
            running.send()
            said = running.receive()
            running.keep_alive()
            output += said.stdout
            *lines, rest = (rest + said.stderr.replace(b"\r", b"\n")).split(b"\n")
            for line in (each.decode(errors="replace").strip() for each in lines):
                if line:
                    complaints = [*complaints, line][-_LINES:]
                    hear(line)
            now = time.monotonic()
            if now - began > longest:
                raise Broken(f"{command[0]} in container {container} hasn't ended in {longest:.0f} s", passing=True)
            if now - looked > _ALIVE:  # the stream of a container that is gone may stay open
                looked = now
                _check_runs(api, pod, container)
    finally:
        running.close()
    if running.status != 0:
        last = rest.decode(errors="replace").strip()
        text = "; ".join([*complaints, *([last] if last else [])]) or running.reason or f"exit status {running.status}"
        raise Broken(f"{_name(command)} in container {container} failed: {text}", passing=running.status is None)
    return output.decode(errors="replace")


def _name(command: Sequence[str]) -> str:
    return "a query" if command[0] == "sh" else command[0]


def _check_runs(api: KubeApi, pod: str, container: str) -> None:
    found = api.find(pod)
    statuses = ((found or {}).get("status") or {}).get("containerStatuses") or []
    if not any(each["name"] == container and "running" in (each.get("state") or {}) for each in statuses):
        raise Broken(f"container {container} of {pod.rpartition('/')[2]} no longer runs", passing=True)
