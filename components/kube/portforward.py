"""A connection to a port of a pod (the subresource `portforward`), over a WebSocket.

It arrives in the pod from its own loopback. Each connection is a WebSocket of its own, of the
protocol v4.channel.k8s.io, which has no way to end one direction alone (kubernetes,
pkg/kubelet/cri/streaming/portforward/websocket.go).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.kube.channels import Channels

if TYPE_CHECKING:
    from components.kube.api import KubeApi

DATA, ERROR = range(2)  # channels
PROTOCOLS = ("v4.channel.k8s.io",)
_PORT = 2  # bytes: each channel begins with the number of its port


class PortForward(Channels):
    """The connection. `path` is the pod's in the API. Raises ApiError where the API refuses it.

    That nobody listens in the pod is said afterwards: it has `ended`, and `reason` says so.
    """

    def __init__(self, api: KubeApi, path: str, port: int) -> None:
        self._unread = {DATA: _PORT, ERROR: _PORT}
        self._complaint = b""
        super().__init__(api, f"{path}/portforward?ports={port}", PROTOCOLS, ERROR)

    def write(self, data: bytes) -> None:
        """Send `data` to the port, as soon as the way is free."""
        self._write(DATA, data)

    def receive(self) -> bytes:
        """What has come from it. Where that was the last of it, `ended` is true afterwards."""
        data = []
        messages, broken = self._take()
        for channel, message in messages:
            if channel not in self._unread:
                continue
            skipped = min(self._unread[channel], len(message))
            self._unread[channel] -= skipped
            if channel == DATA:
                data.append(message[skipped:])
            else:
                self._complaint += message[skipped:]
        if not self.ended and (broken or self._complaint):
            self._end(self._complaint.decode(errors="replace").strip() or broken)
        return b"".join(data)
