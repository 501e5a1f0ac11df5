"""The locks of a state in a folder: whose they are, and which of them nobody holds any more.

Pulumi's file backend has no locks of the operating system but a file for each run, with process id,
host and time (backend/diy/lock.go), which a run that was killed leaves behind. `pulumi cancel`
removes all of them, also that of a run which is under way.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import psutil

from components.kube.labels import PROJECT
from ops.console import duration
from ops.errors import UserError
from ops.healing import attributes

_WRITTEN_WITHIN = 2.0  # seconds in which a file of a few bytes is whole, or its writer was killed


@dataclass(frozen=True)
class Lock:
    """One lock file: which process on which host has made it, and when.

    `pid` is 0 for a file that its writer never finished.
    """

    path: Path
    pid: int
    host: str
    user: str
    since: datetime


def folder_of(backend: str) -> Path | None:
    """The folder of a `file://` backend, as Pulumi finds it (`~` is the home folder).

    None for any other backend.
    """
    url = urlsplit(backend)
    if url.scheme != "file":
        return None
    return Path(url2pathname(f"{url.netloc}{url.path}")).expanduser().absolute()


def locks_of(state: Path, stack: str) -> list[Lock]:
    """The locks on `stack` in the backend's folder `state`."""
    return list(_read(path for path in _files(state) if path.parent.name == stack))


def locked_stacks(state: Path) -> set[str]:
    """The names of this project's stacks that have a lock, held or not."""
    return {path.parent.name for path in _files(state)}


def _files(state: Path) -> list[Path]:
    found = (state / ".pulumi" / "locks" / "organization" / PROJECT).glob("*/*")
    return [path for path in found if path.suffix != attributes.ENDING]


def _read(paths: Iterable[Path]) -> Iterator[Lock]:
    for path in paths:
        try:
            written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            content = json.loads(path.read_bytes())
            yield Lock(path, int(content["pid"]), content["hostname"], content["username"], _time(content["timestamp"]))
        except FileNotFoundError:  # its run has ended just now
            continue
        except (ValueError, KeyError, TypeError):
            yield Lock(path, 0, socket.gethostname(), "", written)


def _time(text: str) -> datetime:
    """RFC 3339 with up to nine digits of a second, as Go writes it; Python reads six."""
    head, dot, tail = text.partition(".")
    if not dot:
        return datetime.fromisoformat(text)
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return datetime.fromisoformat(f"{head}.{tail[: min(digits, 6)].ljust(6, '0')}{tail[digits:]}")


def is_here(lock: Lock) -> bool:
    """Whether the lock was made on this host, so that its process can be looked for."""
    return lock.host.casefold() == socket.gethostname().casefold()


def is_held(lock: Lock) -> bool:
    """Whether a process of this host holds the lock, or may: any that has its id and is a pulumi,
    under whatever name (`.pulumi-wrapped`).

    When a process has started says nothing: psutil gives it as a time of day, which moves when the
    clock is set.
    """
    try:
        process = psutil.Process(lock.pid)
        return "pulumi" in process.name() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.AccessDenied:
        return True
    except (psutil.NoSuchProcess, ValueError):
        return False


def release_dead(state: Path, stack: str) -> int:
    """Remove the locks on `stack` that no process holds any more; gives how many those were.

    Raises UserError for a lock that is held, or that another host has made: only there it can be
    told whether it is held.
    """
    found = locks_of(state, stack)
    if any(lock.pid == 0 and time.time() - lock.since.timestamp() < _WRITTEN_WITHIN for lock in found):
        time.sleep(_WRITTEN_WITHIN)
        found = locks_of(state, stack)
    for lock in found:
        age = duration(max(0.0, time.time() - lock.since.timestamp()))
        if not is_here(lock):
            raise UserError(
                f"stack {stack} is locked by {lock.user} on host {lock.host} (process {lock.pid}, {age} ago), "
                f"and this is {socket.gethostname()}.",
                f"Make sure that nothing runs there any more, then `pulumi cancel --stack {stack} --yes`, and run this again.",
            )
        if is_held(lock):
            raise UserError(
                f"stack {stack} is locked: process {lock.pid} (`pulumi`, started by {lock.user} {age} ago) is changing it.",
                f"Wait until it has ended, or end it (`kill -INT {lock.pid}`), then run this again. Where `ps -fp {lock.pid}` shows a run "
                f"of another stack, which has got the id of a dead one: `pulumi cancel --stack {stack} --yes`.",
            )
    for lock in found:
        lock.path.unlink(missing_ok=True)
        lock.path.with_name(lock.path.name + attributes.ENDING).unlink(missing_ok=True)
    return len(found)
