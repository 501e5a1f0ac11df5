"""The source of a live move: the pod that runs PostgreSQL on the claim, asked in SQL."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from components.canary import objects
from components.kube.api import Json
from components.kube.mounts import claims_mounted_by
from ops.errors import UserError
from ops.move.claims import ClaimSide
from ops.move.conversation import Broken
from ops.move.live.calls import call
from ops.move.live.sql import CLOSE, END_SESSIONS, FACTS, FLUSHED, OLDEST, OPEN, OPTIONS, WHO, answer, drop_slot, literal, reopen, script

POD = Path(__file__).with_name("pod")
PORT = 5432  # where the server's own postmaster.pid doesn't say it


class NotRunning(UserError):
    """No pod runs on the claim, or more than one does."""


@dataclass(frozen=True)
class Source:
    """A running PostgreSQL.

    `path` is its pod's in the API, `data` is PGDATA, `mount` the claim's mount in its container.
    """

    side: ClaimSide
    path: str
    pod: str
    container: str
    image: str
    mount: Json
    data: str
    user: str
    owner: tuple[int, int]
    port: int = PORT

    def sql(self, *statements: str, longest: float = 60) -> str:
        """What psql says to these, each a transaction. Raises Broken and ApiError."""
        return answer(call(self.side.api, self.path, self.container, _command("sql", OPTIONS), stdin=script(statements), longest=longest))

    def wal_file(self) -> tuple[str, int]:
        """The segment's file of the WAL that it writes, and a segment's size in bytes.

        Raises Broken and ApiError.
        """
        size = "SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'"
        name, found = self.sql("SELECT pg_walfile_name(pg_current_wal_flush_lsn())", size, longest=5).split("\n")
        return name, int(found)

    def check_replication(self) -> None:
        """A standby may connect from the loopback, with this user and password.

        Raises Broken and ApiError.
        """
        call(self.side.api, self.path, self.container, _command("replication"))

    def password(self) -> str:
        """The superuser's password, which is kept nowhere; empty where the image has none."""
        return _lines(call(self.side.api, self.path, self.container, _command("password")), 1)[0]

    def facts(self) -> dict[str, Any]:
        """What has to be known of it (sql.FACTS). Raises UserError, Broken and ApiError."""
        version, superuser = self.sql(WHO).split("|")
        if int(version) < OLDEST:
            raise UserError(
                f"PostgreSQL in pod {self.pod} is of version {int(version) // 10000}: a live move takes {OLDEST // 10000} or newer.",
                "Stop it, and move without --live.",
            )
        if superuser != "t":
            raise UserError(
                f"PostgreSQL in pod {self.pod}: user {self.user} is no superuser.", "POSTGRES_USER in the container's variables names one."
            )
        found: dict[str, Any] = json.loads(self.sql(FACTS))
        return found

    def make_slot(self, slot: str) -> None:
        """A physical slot, from which on WAL is kept."""
        self.sql(f"SELECT pg_create_physical_replication_slot({literal(slot)}, true)")

    def drop_slot(self, slot: str) -> None:
        """Nothing is kept for it any more; it may be gone already."""
        self.sql(drop_slot(slot))

    def databases(self) -> list[str]:
        """Those that take connections, but for template1, through which this goes on."""
        found: list[str] = json.loads(self.sql(OPEN))
        return found

    def close(self, databases: list[str]) -> list[str]:
        """Nobody can connect to these any more, and all sessions are ended. What is open still."""
        closing = CLOSE.replace("DATABASES", f"ARRAY[{', '.join(map(literal, databases))}]::text[]")
        found: list[str] = json.loads(self.sql(closing, END_SESSIONS, OPEN))
        return found

    def flushed(self) -> str:
        """An LSN behind everything that was acknowledged, which is on the source's disk."""
        return self.sql(*FLUSHED).splitlines()[-1]

    def reopen(self, databases: list[str]) -> None:
        """Undo `close`."""
        self.sql(reopen(databases))

    def known(self) -> Json:
        """What is kept of it on this machine: for when its pod is gone."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "side"}


def remembered(side: ClaimSide, known: Json) -> Source:
    """As it was kept."""
    return Source(side, **{**known, "owner": tuple(known["owner"])})


def find(side: ClaimSide) -> Source:
    """The one pod that runs on a claim. Raises UserError, Broken and ApiError."""
    namespace = side.settings.namespace.name
    where = f"claim {side.name} of stack {side.settings.stack}"
    pods = [each for each in side.api.items(objects.namespaced(namespace, "pods")) if side.name in claims_mounted_by(each)]
    running = [each for each in pods if each["status"].get("phase") == "Running" and not each["metadata"].get("deletionTimestamp")]
    if len(pods) != 1 or len(running) != 1:
        names = ", ".join(each["metadata"]["name"] for each in pods)
        raise NotRunning(
            f"{where}: a live move takes one running pod that mounts it, and there is {names or 'none'}.",
            "Where PostgreSQL is stopped, move without --live.",
        )
    (pod,) = running
    name = pod["metadata"]["name"]
    path = objects.namespaced(namespace, "pods", name)
    container, mount = _mounting(pod, side.name)
    data, user, owner, port = _lines(call(side.api, path, container["name"], _command("variables")), 4)
    if not data or Path(mount["mountPath"]) not in Path(data).parents:
        raise UserError(
            f"pod {name}: PGDATA ({data or 'which is not set'}) isn't a folder below {mount['mountPath']}, where the claim is mounted.",
            "A live move needs a subdirectory (docs/consumers.md). Otherwise move without --live.",
        )
    return Source(
        side,
        path,
        name,
        container["name"],
        _image(pod, container),
        mount,
        data,
        user,
        _owner(pod, container, owner),
        int(port) if port.isdigit() else 5432,
    )


def _lines(said: str, number: int) -> list[str]:
    """So many lines of an answer. Raises Broken where one was lost on the way: exec may do that."""
    *lines, rest = said.split("\n")
    if len(lines) < number or rest:
        raise Broken("what the source's container answers was lost on the way", passing=True)
    return lines[:number]


def _mounting(pod: Json, claim: str) -> tuple[Json, Json]:
    """The one container that mounts a claim, and how. Raises UserError."""
    volumes = [each["name"] for each in pod["spec"]["volumes"] if (each.get("persistentVolumeClaim") or {}).get("claimName") == claim]
    found = [
        (container, mount)
        for container in pod["spec"]["containers"]
        for mount in container.get("volumeMounts") or []
        if mount["name"] in volumes and not mount.get("readOnly")
    ]
    if len(found) != 1:
        names = ", ".join(container["name"] for container, _ in found)
        raise UserError(
            f"pod {pod['metadata']['name']} mounts claim {claim} {len(found)} times ({names}): which is PostgreSQL isn't known.",
            "Stop it, and move without --live.",
        )
    if "subPathExpr" in found[0][1]:
        raise UserError(
            f"pod {pod['metadata']['name']} mounts claim {claim} with subPathExpr: what it is on the new stack isn't known.",
            "Stop it, and move without --live.",
        )
    return found[0]


def _image(pod: Json, container: Json) -> str:
    """By its digest where the kubelet says one that can be pulled."""
    status: Json = next((each for each in pod["status"].get("containerStatuses") or [] if each["name"] == container["name"]), {})
    known = str(status.get("imageID") or "").removeprefix("docker-pullable://")
    return known if "@sha256:" in known else str(container["image"])


def _owner(pod: Json, container: Json, seen: str) -> tuple[int, int]:
    """The numbers of the files' user and group. Raises UserError."""
    if ":" in seen:
        user, group = seen.split(":")
        return int(user), int(group)
    security = {**(pod["spec"].get("securityContext") or {}), **(container.get("securityContext") or {})}
    if not security.get("runAsUser"):
        raise UserError(
            f"pod {pod['metadata']['name']}: whose PostgreSQL's files are isn't known: it names no runAsUser, and its image has no `stat`.",
            "Set runAsUser and runAsGroup in its securityContext (docs/consumers.md).",
        )
    return int(security["runAsUser"]), int(security.get("runAsGroup") or security["runAsUser"])


def _command(*arguments: str) -> list[str]:
    return ["sh", "-c", (POD / "source.sh").read_text(encoding="utf-8"), "source.sh", *arguments]
