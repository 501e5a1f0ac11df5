"""An end for canaries that run in threads, where no signal comes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from components.canary.signals import Interrupted
from components.kube.api import KubeApi


class StoppableApi:
    """Has what `api` has. Once `stop` is set, each request raises Interrupted instead.

    A canary asks the API all the time, so it ends soon, and cleans up on its way out: what it asks
    for then is shielded.
    """

    def __init__(self, api: KubeApi, stop: threading.Event) -> None:
        self._api = api
        self._stop = stop
        self._shielded = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever KubeApi has
        self._check()
        return getattr(self._api, name)

    def lines(self, path: str, silence: float) -> Iterator[str]:
        """As KubeApi has it; it ends between two lines as well."""
        for line in self._api.lines(path, silence):
            self._check()
            yield line

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """What is asked for meanwhile is done."""
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False

    def _check(self) -> None:
        if self._stop.is_set() and not self._shielded:
            raise Interrupted
