"""What a live move of a PostgreSQL says of itself, and its steps by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ops.console import duration
from ops.move.afterwards import letting_go, starting, unmoved
from ops.move.live import checks
from ops.move.live.calling_off import cancel, way_back
from ops.move.live.run import BEGUN, CLOSING, FOLLOWING, PROMOTED, PROMOTING, LiveMove
from ops.move.live.switching import switch
from ops.move.sizes import ASSUMED, seconds_for
from ops.volumes.listing import readable


class PostgresqlMove:
    """A move, for ops.move.live_session."""

    def __init__(self, move: LiveMove) -> None:
        self.move = move
        self.title = move.title

    @property
    def begins(self) -> bool:
        """Whether it has still to begin."""
        return self.move.state in ("", BEGUN)

    def problems(self) -> list[str]:
        """All that keeps it from beginning. Raises ApiError."""
        return self.move.problems()

    def planned(self) -> dict[str, Any]:
        """What is known of it, for programs."""
        facts = self.move.facts
        known = {"version": facts.get("version"), "bytes": facts.get("bytes"), "state": self.move.state}
        seconds = round(seconds_for(facts["bytes"], ASSUMED), 1) if "bytes" in facts else None
        return {"move": self.move.id, "volume": self.title, **known, "targetBytes": self.move.target_side.size, "seconds": seconds}

    def foreseen(self) -> Iterator[str]:
        """The same for people, once there is no problem."""
        facts = self.move.facts
        version = f"{facts['version'] // 10000}.{facts['version'] % 10000}"
        yield f"{self.title}: PostgreSQL {version}, {readable(facts['bytes'])}, in pod {self.move.source.pod}"
        side = self.move.target_side
        where = f"claim {side.settings.namespace.name}/{side.name}, {side.storage_class}, {readable(side.size)}"
        yield f"  To {where}; copied and verified in about {duration(seconds_for(facts['bytes'], ASSUMED))}, at {ASSUMED:.0f} MB/s"
        for warning in checks.warnings(facts):
            yield f"  {warning}"
        yield "  Without --plan a standby is made on the target, and the source goes on."

    def do(self, step: str) -> dict[str, Any]:
        """`follow`, `switch` or `cancel`. Raises UserError, Broken and ApiError."""
        move = self.move
        if step == "cancel":
            return {"verdict": "cancelled", "volume": move.title, "move": move.id, "found": cancel(move)}
        return switch(move) if step == "switch" else move.follow()

    def after(self, command: str) -> str:
        """What is so after a step that failed, and how to go on."""
        state = self.move.state
        if state == FOLLOWING:
            slot = self.move.slot
            return f"The source is open. The standby and its slot {slot} stay: `{command}` goes on, `{command} --cancel` removes both."
        if state in (PROMOTING, PROMOTED):
            return f"The source's databases are closed. `{command} --switch` goes on."
        if state == CLOSING:
            return f"The source's databases may be closed. `{command} --switch` goes on, `{command} --cancel` opens them."
        if state == BEGUN:
            return f"The source is as it was. `{command}` begins anew, `{command} --cancel` empties the target."
        return "The source is as it was."

    def said(self, step: str, verdict: dict[str, Any], command: str) -> Iterator[str]:
        """What a person reads after a step."""
        if step == "cancel":
            found = verdict["found"]
            yield f"{self.title}: {'called off: standby, copy and slot are removed' if found else 'there was nothing to call off'}."
        elif verdict["verdict"] == FOLLOWING:
            copied = f", {readable(verdict['bytes'])} in {duration(verdict['copySeconds'])}" if verdict.get("bytes") else ""
            checked = ", ".join(verdict["amcheck"]) or "none has the extension"
            yield f"{self.title}: a standby has caught up{copied}. Every file was verified; amcheck: {checked}."
            yield "  It follows while a command of this move runs. In between the source keeps its WAL for it."
            for warning in checks.warnings(self.move.facts):
                yield f"  {warning}"
            yield "Next, the switch. It ends every session on the source, and closes its databases:"
            yield f"  {command} --switch"
            yield f"To call it off: {command} --cancel"
        else:
            yield from self._switched(verdict)

    def _switched(self, verdict: dict[str, Any]) -> Iterator[str]:
        side = self.move.target_side
        if verdict.get("done"):
            yield f"{self.title} was switched before ({verdict['provenAt']}), and nothing was done: what was written since isn't moved."
            yield f"  To move it once more: empty the target, and remove {self.move.kept.folder}"
            return
        names = ", ".join(verdict["databases"])
        pause = verdict["pauseSeconds"]  # of a run that was cut in it nobody knows
        promoted = "promoted" if pause is None else f"promoted {pause:.1f} s after the source was closed"
        yield f"{self.title}: {promoted}. Everything up to {verdict['lsn']} is there."
        yield f"The claim is free, for a PostgreSQL {verdict['version'] // 10000}."
        left = unmoved(self.move.source_side, [side])
        yield from starting([side], left)
        yield f"The source is whole, and its databases ({names}) take no connections. To go back to it, as it was at the switch:"
        for line in way_back(self.move):
            yield f"  {line}"
        for each in verdict.get("left", []):
            yield f"Left at the source: {each}"
        yield from letting_go(self.move.source_side, side, left)
