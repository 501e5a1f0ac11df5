"""The target of a live move: a pod with the source's own image on the claim, and a tunnel beside
PostgreSQL. Pod Security level `restricted` admits it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from components.canary import objects
from components.canary.manifests import CONTAINER, container, metadata_of, pod_spec
from components.canary.pods import ProbePod
from components.canary.words import NotProven
from components.kube.api import Json
from components.kube.errors import ApiError
from ops.errors import UserError
from ops.move import pods
from ops.move.claims import ClaimSide
from ops.move.conversation import Broken
from ops.move.live.calls import call
from ops.move.live.source import Source
from ops.move.live.sql import answer, arguments, reopen

TUNNEL = "tunnel"  # the container
PORT = 15432  # of the tunnel, on the pod's loopback
RUN = "/run/move"
LOG = "/tmp/log"
HOURS = 3600 * 24 * 7  # seconds that copying and checking may take
_FILES = Path(__file__).with_name("pod")
_RESOURCES = {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
_STOPPING = 90  # seconds for PostgreSQL to end cleanly with its pod
# Beyond these the source's own settings count, which ALTER SYSTEM has kept beside the data: none of
# them may reach out of the pod, or need more than it has.
_FIXED = {
    "config_file": "/move/standby.conf",
    "listen_addresses": "",
    "unix_socket_directories": RUN,
    "port": "5432",
    "shared_buffers": "128MB",
    "huge_pages": "off",
    "ssl": "off",
    "archive_mode": "off",
    "restore_command": "",
    "synchronous_standby_names": "",
    "autovacuum": "off",
    "logging_collector": "off",
}


def files() -> dict[str, str]:
    """What is mounted into the pod."""
    return {each.name: each.read_text(encoding="utf-8") for each in sorted(_FILES.iterdir()) if each.is_file() and each.name != "source.sh"}


def manifest(side: ClaimSide, source: Source, move: str, run: str) -> Json:
    """The pod."""
    settings = side.settings
    asked = settings.canary.pod.model_dump(by_alias=True, exclude_defaults=True)
    name = f"move-{move}-live"
    user, group = source.owner
    volume: Json = {key: source.mount[key] for key in ("mountPath", "subPath") if key in source.mount}
    mounts = [
        {"name": "volume", **volume},
        {"name": "program", "mountPath": "/move", "readOnly": True},
        {"name": "run", "mountPath": RUN},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    python = settings.canary.image
    engine = container(CONTAINER, source.image, ["sh", "/move/keep.sh"], _RESOURCES, mounts)
    engine["env"] = [{"name": "PGDATA", "value": source.data}]
    tunnel = container(TUNNEL, python, ["python3", "-IB", "/move/stay.py"], asked.get("resources", pods.RESOURCES), mounts)
    first = container("prepare", python, ["python3", "-IB", "/move/volume.py", "prepare"], asked.get("resources", pods.RESOURCES), mounts)
    own = {"runAsNonRoot": True, "runAsUser": user, "runAsGroup": group, "fsGroup": group, "fsGroupChangePolicy": "OnRootMismatch"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata_of(name, settings.namespace.name, pods.move_labels(settings.stack, move, run), asked),
        "spec": {
            **pod_spec(asked, own),
            "terminationGracePeriodSeconds": _STOPPING,
            "initContainers": [first],
            "containers": [engine, tunnel],
            "volumes": [
                {"name": "volume", "persistentVolumeClaim": {"claimName": side.name}},
                {"name": "program", "configMap": {"name": name}},
                {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
                {"name": "tmp", "emptyDir": {}},
            ],
        },
    }


class Target:
    """The pod, there or not."""

    def __init__(self, side: ClaimSide, source: Source, move: str, run: str) -> None:
        self.side, self.source, self.move = side, source, move
        self._run = run
        self.name = f"move-{move}-live"
        self.path = objects.namespaced(side.settings.namespace.name, "pods", self.name)

    def runs(self) -> bool:
        """Whether the pod is there with all its containers."""
        found = self.side.api.find(self.path)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return False
        statuses = found["status"].get("containerStatuses") or []
        return len(statuses) == 2 and all("running" in (each.get("state") or {}) for each in statuses)

    def exists(self) -> bool:
        """Whether a pod of its name is there, in whatever state."""
        return self.side.api.find(self.path) is not None

    def start(self) -> None:
        """Make the pod, and wait until it runs. Raises UserError and ApiError."""
        side = self.side
        pods.start(side.api, side.settings, manifest(side, self.source, self.move, self._run), files(), claim=side.claim, run=self._run)

    def try_out(self) -> None:
        """Ask the API whether it would admit the pod. Raises ApiError."""
        where = objects.namespaced(self.side.settings.namespace.name, "pods")
        try:
            self.side.api.create(f"{where}?dryRun=All", manifest(self.side, self.source, self.move, self._run))
        except ApiError as problem:
            if problem.status != HTTPStatus.CONFLICT:
                raise

    def remove(self) -> None:
        """End PostgreSQL cleanly and the pod, until its volume is unmounted. Raises UserError."""
        namespace = self.side.settings.namespace.name
        found = self.side.api.find(self.path)
        if found is not None:
            pod = ProbePod(self.side.api, namespace, self.name, found["metadata"]["uid"], 0)
            try:
                pod.remove(_STOPPING + pods.DELETION, grace=_STOPPING)
            except NotProven as problem:
                raise UserError(problem.sentence) from None
        self.side.api.delete(objects.namespaced(namespace, "configmaps", self.name))

    def volume(self, step: str) -> dict[str, Any]:
        """A step of volume.py's: `look`, `begin` or `finish`. Raises Broken and ApiError."""
        root = self.source.mount["mountPath"]
        said = self._in_tunnel("python3", "-IB", "/move/volume.py", step, root, self.source.data, self.move, longest=600)
        found: dict[str, Any] = json.loads(said)
        return found

    def keep_password(self, password: str) -> None:
        """Where libpq finds it, in the pod's memory."""
        self._in_tunnel("python3", "-IB", "/move/volume.py", "password", stdin=password.encode() + b"\n")

    def copy(self, slot: str, hear: Callable[[str], None], check: Callable[[], None]) -> None:
        """The base backup, with the WAL that it needs. Raises Broken and ApiError."""
        where = f"host=127.0.0.1 port={PORT} user={self.source.user} passfile={RUN}/passfile gssencmode=disable"
        options = ["--checkpoint=fast", "--wal-method=stream", f"--slot={slot}", "--manifest-checksums=SHA256", "--write-recovery-conf"]
        shown = ["--no-password", "--progress", f"--pgdata={self.source.data}", f"--dbname={where}"]
        self._in_engine("pg_basebackup", *options, *shown, longest=HOURS, hear=hear, check=check)

    def verify(self, check: Callable[[], None]) -> None:
        """Every file against the manifest that came with them. Raises Broken and ApiError."""
        self._in_engine("pg_verifybackup", "--exit-on-error", self.source.data, longest=HOURS, check=check)

    def start_standby(self, settings: dict[str, str]) -> None:
        """PostgreSQL, which follows the source. `settings` have to be as there.

        Nothing is done where it runs already.
        """
        values = {**settings, **_FIXED}
        options = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in values.items() if value or name in _FIXED)
        if not self.answers():
            log = f"--log={LOG}"
            self._in_engine("pg_ctl", "start", "--wait", "--timeout=600", log, f"--options={options}", longest=660)

    def answers(self) -> bool:
        """Whether PostgreSQL runs there."""
        try:
            self._in_engine("pg_ctl", "status")
        except Broken:
            return False
        return True

    def log(self) -> str:
        """The end of what PostgreSQL has said."""
        return self._in_tunnel("python3", "-c", f"print(open('{LOG}').read()[-2000:])")

    def sql(self, *statements: str, database: str = "template1") -> str:
        """As Source.sql, by the socket that only the pod has."""
        fixed = ["-XAtqw", "-v", "ON_ERROR_STOP=1", "-h", RUN, "-p", "5432", "-U", self.source.user, "-d", database]
        return answer(self._in_engine("psql", *fixed, *arguments(statements)))

    def has_amcheck(self, database: str) -> bool:
        """Whether the extension was made in a database."""
        return self.sql("SELECT 1 FROM pg_extension WHERE extname = 'amcheck'", database=database) == "1"

    def check_indexes(self, database: str, check: Callable[[], None]) -> None:
        """Tables and indexes of a database, by amcheck, which it has. Raises Broken."""
        where = [f"--host={RUN}", "--port=5432", f"--username={self.source.user}", "--no-password"]
        self._in_engine("pg_amcheck", *where, "--heapallindexed", f"--database={database}", longest=HOURS, check=check)

    def promote(self) -> None:
        """It takes transactions of its own from now on. Raises Broken."""
        if self.is_standby():
            self.sql("SELECT pg_promote(true, 60)")

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
