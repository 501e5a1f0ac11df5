"""A program that is run in a container of a pod (the subresource `exec`), over a WebSocket.

What the API server answers says nothing about whether the program lives: the stream of a container
that was killed may stay open (kubernetes#129144).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from components.kube.channels import Channels

if TYPE_CHECKING:
    from components.kube.api import KubeApi

STDIN, STDOUT, STDERR, ERROR = range(4)  # channels
_CLOSE = 255  # not a channel: of v5, the byte after it says which one ends
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")


class Said(NamedTuple):
    """What has come from the program since it was asked for last."""

    stdout: bytes
    stderr: bytes


class Exec(Channels):
    """A program in a container, started.

    `path` is the pod's in the API. Raises ApiError where the API doesn't start it.
    `status` is its exit status once it has ended, None before, and where the connection broke;
    then `reason` says why.
    """

    def __init__(self, api: KubeApi, path: str, container: str, command: Sequence[str]) -> None:
        asked = [("container", container), *((stream, "true") for stream in ("stdin", "stdout", "stderr"))]
        full = f"{path}/exec?{urlencode([*asked, *(('command', each) for each in command)])}"
        self._report = b""
        self.status: int | None = None
        super().__init__(api, full, PROTOCOLS, ERROR)

    def write(self, data: bytes) -> None:
        """Give the program `data` on its stdin, as soon as the way is free."""
        self._write(STDIN, data)

    def end_input(self) -> None:
        """The program's stdin ends, where the server can tell it (v5: Kubernetes 1.30)."""
        if not self.ended and self._protocol.subprotocol == PROTOCOLS[0]:
            self._protocol.send_binary(bytes([_CLOSE, STDIN]))
            self._take_out()
            self.send()

    def receive(self) -> Said:
        """What has come. Where that was the last of it, `ended` is true afterwards."""
        stdout, stderr = [], []
        messages, broken = self._take()
        for channel, data in messages:
            if channel == STDOUT:
                stdout.append(data)
            elif channel == STDERR:
                stderr.append(data)
            elif channel == ERROR:
                self._report += data
        if broken and not self.ended:
            self._end(broken)
        return Said(b"".join(stdout), b"".join(stderr))

    def _end(self, reason: str) -> None:
        super()._end(reason)
        self.status, self.reason = _outcome(self._report, reason)


def _outcome(report: bytes, otherwise: str) -> tuple[int | None, str]:
    """The exit status, and why there is none, from the Status that comes last (v4 and v5)."""
    try:
        said = json.loads(report)
        if said.get("status") == "Success":
            return 0, ""
        causes = (said.get("details") or {}).get("causes") or []
        code = next((each["message"] for each in causes if each.get("reason") == "ExitCode"), None)
        return (int(code), "") if code is not None else (None, str(said.get("message") or otherwise))
    except (ValueError, AttributeError, KeyError, TypeError):
        return None, otherwise
