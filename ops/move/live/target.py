"""The target of a live move: PostgreSQL in its pod, and what is done with it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from typing import Any

from components.canary.manifests import CONTAINER
from components.kube.api import Json
from ops.move.claims import ClaimSide
from ops.move.conversation import Broken
from ops.move.live.calls import call
from ops.move.live.manifest import FIXED, RUN, STOPPING, TUNNEL, files, manifest
from ops.move.live.source import Source
from ops.move.live.sql import ENCODING, OPTIONS, answer, conninfo, reopen, script
from ops.move.live_pod import LivePod
from ops.volumes.listing import readable

PORT = 15432  # of the tunnel, on the pod's loopback
LOG = "/tmp/log"
HOURS = 3600 * 24 * 7  # seconds that copying and checking may take
_STARTING = 3600 * 6  # seconds in which the standby has replayed what was written while it was copied
_PROMOTING = 45  # seconds for the promotion, before the statement ends by itself
_PROGRESS = re.compile(r"(\d+)/(\d+) kB")
_REPLAYED = re.compile(r"startup\s+recovering ([0-9A-F]{24})")  # the process's title, where PostgreSQL sets it
_QUICK = 5  # seconds for a look at processes
_OTHER_IMAGE = "It is the source's own: the target's nodes have to get it as well."
_BOTH = 30  # seconds from one container's start to the other's


def copied(line: str) -> str:
    """How far pg_basebackup is, by a line of it; empty where it says something else."""
    found = _PROGRESS.search(line)
    if not found:
        return ""
    done, whole = (int(each) * 1024 for each in found.groups())
    return f"{readable(done)} of {readable(max(done, whole))}"


class Target(LivePod):
    """The pod, there or not."""

    def __init__(self, side: ClaimSide, source: Source, move: str, run: str) -> None:
        super().__init__(side, f"move-{move}-live", run, stopping=STOPPING)
        self.source, self.move = source, move

    def _manifest(self) -> Json:
        return manifest(self.side, self.source, self.move, self._run)

    def start(self) -> None:
        """Make the pod, and wait until it runs. Raises UserError and ApiError."""
        self._make(files(), _OTHER_IMAGE, _BOTH)

    def volume(self, step: str) -> dict[str, Any]:
        """A step of volume.py's: `look`, `begin` or `finish`. Raises Broken and ApiError."""
        root = self.source.mount["mountPath"]
        said = self._in_tunnel("python3", "-IB", "/move/volume.py", step, root, self.source.data, self.move, longest=600)
        try:
            found: dict[str, Any] = json.loads(said)
        except ValueError:
            raise Broken("what the target's volume has was lost on the way", passing=True) from None
        return found

    def keep_password(self, password: str) -> None:
        """Where libpq finds it, in the pod's memory."""
        self._in_tunnel("python3", "-IB", "/move/volume.py", "password", stdin=password.encode() + b"\n")

    def copy(self, slot: str, hear: Callable[[str], None], check: Callable[[], None]) -> None:
        """The base backup, with the WAL that it needs. Raises Broken and ApiError."""
        where = conninfo(host="127.0.0.1", port=str(PORT), user=self.source.user, passfile=f"{RUN}/passfile", gssencmode="disable")
        options = ["--checkpoint=fast", "--wal-method=stream", f"--slot={slot}", "--manifest-checksums=SHA256", "--write-recovery-conf"]
        shown = ["--no-password", "--progress", f"--pgdata={self.source.data}", f"--dbname={where}"]
        self._in_engine("pg_basebackup", *options, *shown, longest=HOURS, hear=hear, check=check)

    def verify(self, check: Callable[[], None]) -> None:
        """Every file against the manifest that came with them. Raises Broken and ApiError."""
        self._in_engine("pg_verifybackup", "--exit-on-error", self.source.data, longest=HOURS, check=check)

    def start_standby(self, settings: dict[str, str], check: Callable[[], None]) -> None:
        """PostgreSQL, which follows the source. `settings` have to be as there.

        Nothing is done where it runs already.
        """
        values = {**settings, **FIXED}
        options = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in values.items() if value or name in FIXED)
        if not self.answers():
            how = ["--wait", f"--timeout={_STARTING}", f"--log={LOG}", f"--options={options}"]
            self._in_engine("pg_ctl", "start", *how, longest=_STARTING + 60, check=check)

    def answers(self) -> bool:
        """Whether PostgreSQL runs there. Raises Broken where that can't be known, and ApiError."""
        try:
            self._in_engine("pg_ctl", "status")
        except Broken as problem:
            if problem.passing:
                raise
            return False
        return True

    def replayed(self) -> str:
        """The segment's file of the WAL that it replays; empty where that isn't told.

        Raises Broken and ApiError.
        """
        found = _REPLAYED.search(self._in_engine("sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null || true", longest=_QUICK))
        return found[1] if found else ""

    def log(self) -> str:
        """The end of what PostgreSQL has said."""
        return self._in_tunnel("python3", "-c", f"print(open('{LOG}').read()[-2000:])")

    def sql(self, *statements: str, database: str = "template1") -> str:
        """As Source.sql, by the socket that only the pod has."""
        shown = ["-XAtqw", "-v", "ON_ERROR_STOP=1", "-d", self._by_socket(database)]
        return answer(self._in_engine("psql", *shown, stdin=script(statements)))

    def _by_socket(self, database: str) -> str:
        return conninfo(host=RUN, port="5432", user=self.source.user, dbname=database, client_encoding=ENCODING, options=OPTIONS)

    def has_amcheck(self, database: str) -> bool:
        """Whether the extension was made in a database."""
        return self.sql("SELECT 1 FROM pg_extension WHERE extname = 'amcheck'", database=database) == "1"

    def check_indexes(self, database: str, check: Callable[[], None]) -> None:
        """Tables and indexes of a database, by amcheck, which it has. Raises Broken."""
        # A name after --database would be a pattern.
        where = self._by_socket(database).replace("statement_timeout=50s", "statement_timeout=0")
        self._in_engine("pg_amcheck", "--no-password", "--heapallindexed", where, longest=HOURS, check=check)

    def promote(self) -> None:
        """It takes transactions of its own from now on. Raises Broken, and then it may later."""
        if self.is_standby() and self.sql(f"SELECT pg_promote(true, {_PROMOTING})") != "t":
            raise Broken(f"the standby hasn't been promoted in {_PROMOTING} s", passing=True)

    def is_standby(self) -> bool:
        """Whether it still follows."""
        return self.sql("SELECT pg_is_in_recovery()") == "t"

    def make_its_own(self, databases: list[str]) -> None:
        """After the promotion: its databases are open, and nothing is left of the source's way."""
        self.sql(reopen(databases), "ALTER SYSTEM RESET primary_conninfo", "ALTER SYSTEM RESET primary_slot_name", "CHECKPOINT")

    def stop(self) -> None:
        """End PostgreSQL cleanly."""
        if self.answers():
            self._in_engine("pg_ctl", "stop", "--mode=fast", "--wait", "--timeout=600", longest=660)

    @property
    def tunnel(self) -> list[str]:
        """The command of the tunnel."""
        return ["python3", "-IB", "/move/tunnel.py", str(PORT)]

    def _in_engine(self, *command: str, **how: Any) -> str:  # noqa: ANN401 - as call has them
        return call(self.side.api, self.path, CONTAINER, command, **how)

    def _in_tunnel(self, *command: str, **how: Any) -> str:  # noqa: ANN401 - as call has them
        return call(self.side.api, self.path, TUNNEL, command, **how)
