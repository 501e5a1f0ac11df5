"""The worker of Kafka Connect in this pod, as its REST interface on the loopback shows it.

keeper.py, in the worker's own container, starts it while the file ON is there. Standard library
only.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from .records import MirrorFault

RUN = Path("/run/move")
ON = "on"  # while this file is there, the worker is to run
STATE = "state.json"  # what keeper.py says
WORKER = "worker.properties"
LOG = Path("/tmp/mirror.log")
PORT = 8083
NAME = "mirror"
_STARTING = 180  # seconds
_STOPPING = 120
_POLL = 0.5


class Worker:
    """`folder` is what both containers share."""

    def __init__(self, folder: Path = RUN, log: Path = LOG, port: int = PORT) -> None:
        self._folder, self._log = folder, log
        self._url = f"http://127.0.0.1:{port}/connectors/{NAME}"

    def begin(self, worker: Mapping[str, str], connector: Mapping[str, str]) -> None:
        """Have it run with these settings, from wherever it is. Raises MirrorFault."""
        lines = "".join(f"{key}={value}\n" for key, value in sorted(worker.items()))
        file = self._folder / WORKER
        if not file.exists() or file.read_text(encoding="utf-8") != lines:
            self.stop()
            file.write_text(lines, encoding="utf-8")
        (self._folder / ON).touch()
        end = time.monotonic() + _STARTING
        while not self._is_configured(connector):
            if time.monotonic() > end:
                raise MirrorFault(f"MirrorMaker doesn't start in {_STARTING} s: {self.fault() or self._last_error() or 'it says nothing'}")
            time.sleep(_POLL)
        if "FAILED" in self._states(self._ask("GET", "/status")):
            self._ask("POST", "/restart?includeTasks=true&onlyFailed=true")

    def _is_configured(self, connector: Mapping[str, str]) -> bool:
        """It has its settings, and runs. Raises MirrorFault where it refuses them."""
        try:
            if self._settings() != {**connector, "name": NAME}:
                self._ask("PUT", "/config", connector)
            return bool(self._states(self._ask("GET", "/status")))
        except urllib.error.HTTPError as problem:
            if problem.code == HTTPStatus.BAD_REQUEST:
                raise MirrorFault(f"MirrorMaker refuses its settings: {_message(problem)}") from None
            return False
        except (OSError, ValueError):  # it is starting
            return False

    def _settings(self) -> Any:  # noqa: ANN401 - JSON
        """The connector's; None where there is none yet."""
        try:
            return self._ask("GET", "/config")
        except urllib.error.HTTPError as problem:
            if problem.code == HTTPStatus.NOT_FOUND:
                return None
            raise

    def stop(self) -> None:
        """End it cleanly; it may have ended. Raises MirrorFault."""
        (self._folder / ON).unlink(missing_ok=True)
        end = time.monotonic() + _STOPPING
        while self._state().get("runs"):
            if time.monotonic() > end:
                raise MirrorFault(f"MirrorMaker doesn't end in {_STOPPING} s")
            time.sleep(_POLL)

    def fault(self) -> str:
        """What ails it; empty where it does what it should, or is about to."""
        state = self._state()
        if not (self._folder / ON).exists():
            return "it was stopped"
        if not state.get("runs"):
            ended = state.get("ended")
            return "" if ended is None else f"it has ended with {ended}: {self._last_error()}"
        try:
            status = self._ask("GET", "/status")
        except (OSError, ValueError) as problem:
            starting = time.time() - state.get("since", 0) < _STARTING
            return "" if starting else f"it doesn't answer ({problem}): {self._last_error()}"
        for each in (status["connector"], *status["tasks"]):
            if each["state"] == "FAILED":
                return _cause(each.get("trace") or "it has failed, and doesn't say why")
        return ""

    def mirrored(self) -> list[list[Any]]:
        """Topic, partition and source offset, of the next record that comes."""
        try:
            offsets = self._ask("GET", "/offsets")["offsets"]
        except (OSError, ValueError):
            return []
        return [[each["partition"]["topic"], each["partition"]["partition"], each["offset"]["offset"] + 1] for each in offsets]

    def _state(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self._folder / STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    @staticmethod
    def _states(status: Any) -> list[str]:  # noqa: ANN401 - JSON
        return [status["connector"]["state"], *(each["state"] for each in status["tasks"])]

    def _last_error(self) -> str:
        """The last thing that it has complained about."""
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        found = [line for line in lines if " ERROR " in line or line.startswith("Caused by")]
        return found[-1].strip()[:500] if found else ""

    def _ask(self, method: str, path: str, body: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - JSON
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{self._url}{path}", data, {"Content-Type": "application/json"}, method=method)
        with _OPENER.open(asked, timeout=30) as answer:
            content = answer.read()
        return json.loads(content) if content else None


def _cause(trace: str) -> str:
    """What a stack trace comes of: its last cause."""
    lines = [line for line in trace.strip().splitlines() if not line.startswith(("\t", "    ", "..."))]
    return lines[-1].removeprefix("Caused by: ")[:500]


def _message(problem: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(problem.read())["message"])
    except (OSError, ValueError, KeyError):
        return str(problem)


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never by way of a proxy
