"""Calling a live move off, and what is said of the source that can't be asked any more."""

from __future__ import annotations

import shlex

from ops.errors import UserError
from ops.move.claims import refusals
from ops.move.kept import PROVEN
from ops.move.live.run import BEGUN, CANCELLING, PROMOTED, PROMOTING, LiveMove
from ops.move.live.sql import OPTIONS, identifier, literal


def cancel(move: LiveMove) -> bool:
    """Remove standby, copy and slot; the source takes connections as before.

    False where there was nothing. What can be removed is, whatever else can't: UserError then says
    what is left. Raises UserError as well where the target was promoted, and ApiError.
    """
    with move.kept.alone():
        if move.state in ("", PROVEN):
            return False
        if move.state in (PROMOTING, PROMOTED):
            raise UserError(f"{move.title}: the target was promoted already.", "Run it with --live --switch to end it.")
        unreached = move.reach()
        copying = move.state == BEGUN  # a copy that a killed run has begun may go on there
        move.kept.save(state=CANCELLING)
        left = [*_closed(move, unreached), *_copied(move, copying=copying), *slot_left(move, unreached)]
        if left:
            raise UserError(
                f"{move.title}: it isn't called off yet. This is left:\n" + "\n".join(f"  {each}" for each in left),
                "Once that can be reached, the same command ends it.",
            )
        move.kept.forget()
        return True


def _closed(move: LiveMove, unreached: str) -> list[str]:
    """The source's databases, opened; what keeps them from it."""
    databases = move.kept.record().get("databases", [])
    if not databases:
        return []

    def reopen() -> None:
        if unreached:
            raise UserError(unreached)
        move.source.reopen(databases)
        move.kept.save(databases=[])

    return move.tried(f"closed databases of the source, which `{way_back(move)[0]}` opens", reopen)


def _copied(move: LiveMove, *, copying: bool) -> list[str]:
    """Pod and copy of the target, removed; what is left of them."""
    target, side = move.target, move.target_side

    def clear() -> None:
        if side.is_bound:  # else nothing was ever written
            if copying or not target.runs():
                users = list(refusals(side, writes=True, move=move.id))
                if users:
                    raise UserError("; ".join(users))
                target.remove()
                target.start()
            target.stop()
            target.volume("clear")
        target.remove()

    namespace = side.settings.namespace.name
    return move.tried(f"the copy on claim {side.name} in namespace {namespace}, with pod {target.name}", clear)


def slot_left(move: LiveMove, unreached: str) -> list[str]:
    """The move's replication slot, dropped; what keeps it from that."""

    def drop() -> None:
        if unreached:
            raise UserError(unreached)
        move.source.drop_slot(move.slot)

    command = at_source(move, f"SELECT pg_drop_replication_slot({literal(move.slot)})")
    return move.tried(f"replication slot {move.slot} of the source, which keeps its WAL until `{command}`", drop)


def way_back(move: LiveMove) -> list[str]:
    """The commands with which the source takes connections again."""
    names = move.kept.record().get("databases", [])
    return [at_source(move, *(f"ALTER DATABASE {identifier(each)} ALLOW_CONNECTIONS true" for each in names))]


def at_source(move: LiveMove, *statements: str) -> str:
    """A command that has these done in the source's pod, as source.sh would."""
    side, source = move.source_side, move.source
    text = (
        'PGPASSWORD=$POSTGRES_PASSWORD; [ -z "$POSTGRES_PASSWORD_FILE" ] || IFS= read -r PGPASSWORD <"$POSTGRES_PASSWORD_FILE"; '
        f'export PGPASSWORD PGOPTIONS="{OPTIONS}"; '
        f'psql -h 127.0.0.1 -p {source.port} -U "${{POSTGRES_USER:-postgres}}" -d template1 "$@"'
    )
    parts = ["kubectl", "--context", side.api.context, "-n", side.settings.namespace.name, "exec", source.pod, "-c", source.container]
    given = [part for each in statements for part in ("-c", each)]
    return shlex.join([*parts, "--", "sh", "-c", text, "sh", *given])
