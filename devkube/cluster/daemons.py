"""Host processes that outlive the command that started them, and that can be told from anybody
else's afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from devkube.errors import MachineError

_ENDING = 10  # seconds that a killed process is given to be gone
_PF_EXITING = 0x4  # the kernel's include/linux/sched.h: "getting shut down"
_LOG_LIMIT = 5_000_000  # bytes; at a start a longer log becomes the `.1` beside it
# Kept, so that what ends while this process lives is reaped.
_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Daemon:
    """One process of a cluster: how it is started, where it logs, and which process it is now."""

    name: str
    arguments: Sequence[str | Path]
    logs: Path
    pids: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.logs / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        """Holds its process id and that process' start time, because process ids are used again."""
        return self.pids / f"{self.name}.json"

    def process(self) -> psutil.Process | None:
        """The running process, or None. Never another process that has got the same id.

        One that has been killed and is still ending is waited for: until it is gone it holds its
        ports and its files' locks, so whoever is told None can start it anew.
        """
        try:
            kept = json.loads(self.pid_file.read_text())
            process = psutil.Process(int(kept["pid"]))
            if kept["started"] != _start_of(process.pid):
                return None
            deadline = time.monotonic() + _ENDING
            while _ending(process.pid) and time.monotonic() < deadline:
                time.sleep(0.02)
            return process if _runs(process.pid) else None
        except (OSError, ValueError, KeyError, TypeError, psutil.Error):
            return None

    def start(self) -> None:
        """Start it in a session of its own, unless it runs."""
        if self.process():
            return
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                [str(argument) for argument in self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={**_plain_environment(), **self.environment},
                start_new_session=True,
                umask=0o022,
            )
        _children.append(child)
        with suppress(OSError):  # a process that ended at once is noticed by whoever waits for it
            temporary = self.pid_file.with_suffix(".new")
            temporary.write_text(json.dumps({"pid": child.pid, "started": _start_of(child.pid)}))
            temporary.replace(self.pid_file)

    def stop(self, seconds: float = 15) -> None:
        """End it: SIGTERM, then SIGKILL after `seconds`."""
        stop_all([self], seconds)

    def last_lines(self, count: int = 8) -> str:
        """The end of its log."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(f"  {line[:300]}" for line in lines[-count:])

    def fault(self, what: str) -> MachineError:
        """`what` went wrong, with the end of the log and where it is."""
        return MachineError(f"{self.name} {what}. The end of its log:\n{self.last_lines()}", f"Its log: {self.log}")


def _start_of(pid: int) -> str:
    """Which boot, and how many clock ticks into it, a process was started (proc(5), field 22 of
    /proc/<pid>/stat).

    psutil's create_time is a time of day, which moves when the clock is set. Raises OSError for a
    process that is gone.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {_stat(pid)[19]}"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the process' name, which may hold spaces: proc(5)'s
    field 3, the state, is the first.

    Raises OSError for a process that is gone.
    """
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _runs(pid: int) -> bool:
    """Whether a process is there. A zombie isn't (its parent has yet to notice, and may not be this
    process), once none of its threads is left."""
    try:
        return _is_there(_stat(pid))
    except OSError:
        return False


def _is_there(stat: Sequence[str]) -> bool:
    state, threads = stat[0], int(stat[17])
    return state not in "ZX" or threads > 1


def _ending(pid: int) -> bool:
    """Whether a process that is there has been killed, or has begun to exit.

    A program of many threads takes its time for it. Its first thread may be a zombie long before
    the last one has let go of the files and ports.
    """
    try:
        stat = _stat(pid)
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    pending = [int(line.split()[1], 16) for line in status if line.startswith(("SigPnd:", "ShdPnd:"))]
    killed = any(mask >> (signal.SIGKILL - 1) & 1 for mask in pending)
    return _is_there(stat) and bool(int(stat[6]) & _PF_EXITING or killed)


def _plain_environment() -> dict[str, str]:
    """The environment of a daemon: it must not depend on the shell, or a proxy, of the user who
    happened to start it."""
    path = os.environ.get("PATH", "")
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": f"{path}:{system}" if path else system, "HOME": "/root", "LANG": "C.UTF-8"}


def stop_all(daemons: Sequence[Daemon], seconds: float) -> None:
    """End daemons that don't need each other to end: SIGTERM to all, SIGKILL to what is left after
    `seconds`."""
    running = [process for daemon in daemons if (process := daemon.process())]
    for process in running:
        with suppress(psutil.Error):
            process.terminate()
    end(running, seconds)
    for daemon in daemons:
        daemon.pid_file.unlink(missing_ok=True)


def end(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Wait for processes that were told to end.

    What is left after `seconds` is killed, and waited for.
    """
    for process in _left(processes, seconds):
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
    _left(processes, 10)


def _left(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """What still runs after at most `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        left = [process for process in processes if _alive(process)]
        for child in _children:  # after that look: none of what it has found ended stays a zombie
            child.poll()
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and _runs(process.pid)
    except psutil.Error:
        return False


def wait_for(check: Callable[[], bool], what: str, daemons: Sequence[Daemon], seconds: float) -> None:
    """Wait until `check` holds.

    Raises MachineError as soon as one of `daemons` has ended, or after `seconds`.

    The last of `daemons` is the one whose log is shown when the time is up.
    """
    deadline = time.monotonic() + seconds
    while True:
        if check():
            return
        for daemon in daemons:
            if daemon.process() is None:
                raise daemon.fault("has ended while the cluster was starting")
        if time.monotonic() > deadline:
            raise daemons[-1].fault(f"runs, but after {seconds:.0f} s {what}")
        time.sleep(0.2)
