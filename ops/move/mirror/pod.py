"""The pod of a mirror, at the target. Kafka Connect with MirrorMaker is in one container, and what
asks the brokers and compares in the other. It mounts no claim. Pod Security level `restricted`
admits it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from typing import Any

from components.acceptance.engine_run import LAST_LINES, NO_CLIENT
from components.acceptance.manifests import PYTHON
from components.canary.manifests import TOOLS
from components.kube.api import Json
from components.kube.errors import ApiError
from ops.errors import UserError
from ops.move.claims import ClaimSide
from ops.move.conversation import Broken
from ops.move.live.calls import call
from ops.move.live_pod import LivePod
from ops.move.mirror.manifest import COMPARE, PROGRAM, STOPPING, files, manifest, name_of
from ops.move.mirror.program.compare import Compared, Span

__all__ = ["ANY_AGE", "COMPARE", "Compared", "Group", "MirrorPod", "Span", "Topic"]

PATIENCE = 120.0  # seconds without a new record of the target after which it is missing
ANY_AGE = 2**62  # for Span.expires, where the target's retention goes by size
_HOURS = 3600 * 24 * 7  # seconds that a comparison may take
_LONGEST = 300  # seconds for any other answer
_STARTING = 60  # seconds in which the second container runs as well
_OTHER_IMAGE = "Its images are `canary.engines.mirror` and `canary.engines.client`, which the cluster's nodes must be able to pull."


@dataclass(frozen=True)
class Topic:
    """A topic. `configs` are the settings that were set for it alone.

    `retention` is in milliseconds and `retention_bytes` in bytes of a partition, as they count
    for it; -1 where there is none. `stamped` is one that gives records the time of their arrival
    (LogAppendTime). A topic that is made anew has another `id`; empty where brokers have none.
    """

    partitions: int
    replication: int
    compacted: bool
    retention: int
    retention_bytes: int
    configs: dict[str, str]
    stamped: bool = False
    id: str = ""


@dataclass(frozen=True)
class Group:
    """A consumer group: committed offsets by topic and partition, and how many members it has."""

    offsets: dict[tuple[str, int], int]
    members: int


class MirrorPod(LivePod):
    """The pod, there or not. `side` is a claim of the target, whose stack and namespace it is in.

    `image` has Kafka Connect and MirrorMaker in /opt/kafka/libs, as Apache's has them. All that
    asks something of it raises Broken and ApiError.
    """

    def __init__(self, side: ClaimSide, move: str, run: str, image: str) -> None:
        super().__init__(side, name_of(move), run, stopping=STOPPING)
        self.move, self.image = move, image

    def start(self) -> None:
        """Make the pod, and wait until it runs. Raises UserError and ApiError."""
        self._make(files(), _OTHER_IMAGE, _STARTING, self._look_at_start)

    def _look_at_start(self, found: Json) -> None:
        """The container that comes first gets Python and the brokers' client, or fails."""
        first: Json = next((each for each in found["status"].get("initContainerStatuses") or [] if each["name"] == TOOLS), {})
        states = [each.get("terminated") or {} for each in (first.get("state") or {}, first.get("lastState") or {})]
        if any(each.get("exitCode") for each in states):
            image = self.side.settings.canary.engines.client
            raise UserError(f"Python and confluent-kafka could not be had from the image {image}: {self._said_first()}", NO_CLIENT)

    def _said_first(self) -> str:
        with suppress(ApiError):  # reading a log is a right of its own
            for line in self.side.api.lines(f"{self.path}/log?container={TOOLS}", LAST_LINES):
                word, _, value = line.partition(" ")
                if word == "fault":
                    return str(json.loads(value)["message"])
        return f"`kubectl logs {self.name} -c {TOOLS}` says why"

    # --- MirrorMaker ----------------------------------------------------------------------------

    def mirror(self, properties: str) -> None:
        """Have it run with these settings (properties.settings), from where it was.

        Nothing is done where it runs with them already; tasks that have failed are started again.
        """
        self._ask("begin", json.loads(properties))

    def fault(self) -> str:
        """What ails it; empty where it mirrors, or is about to."""
        return str(self._ask("fault"))

    def mirrored(self) -> dict[tuple[str, int], int]:
        """The source offset from which each partition is still to be mirrored, by topic and number.

        Empty while it doesn't say.
        """
        return {(topic, partition): offset for topic, partition, offset in self._ask("mirrored")}

    def stop_mirror(self) -> None:
        """End it cleanly: what it has read is written. It may have ended."""
        self._ask("stop")

    # --- brokers --------------------------------------------------------------------------------

    def reaches(self, addresses: Sequence[tuple[str, int]], cluster: str = "") -> dict[tuple[str, int], str]:
        """Of each address why it can't be reached from the pod, or leads to a Kafka of another
        cluster there; empty where it can.
        """
        answers = self._ask("reaches", {"addresses": addresses, "cluster": cluster})
        return dict(zip(addresses, answers, strict=True))

    def topics(self, bootstrap: str) -> dict[str, Topic]:
        """All topics, by name."""
        return {name: Topic(**each) for name, each in self._of(bootstrap, "topics").items()}

    def offsets(self, bootstrap: str, topics: Sequence[str]) -> dict[tuple[str, int], tuple[int, int]]:
        """Of each partition the first offset, and the one behind the last committed record."""
        return {(topic, number): (low, end) for topic, number, low, end, _ in self._of(bootstrap, "offsets", topics=topics)}

    def unfinished(self, bootstrap: str, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        """Partitions in which a transaction runs, and how many offsets are behind its beginning."""
        found = self._of(bootstrap, "offsets", topics=topics)
        return {(topic, number): high - end for topic, number, _, end, high in found if high > end}

    def empty(self, bootstrap: str, spans: Mapping[tuple[str, int], tuple[int, int]]) -> set[tuple[str, int]]:
        """Which partitions have no committed record from the first of two offsets to before the
        other: aborted transactions have offsets, too.
        """
        found = self._of(bootstrap, "empty", spans=[[*place, begin, end] for place, (begin, end) in spans.items()])
        return {(topic, number) for topic, number in found}

    def groups(self, bootstrap: str) -> dict[str, Group]:
        """All consumer groups, by name."""
        found = self._of(bootstrap, "groups")
        return {
            name: Group({(topic, number): offset for topic, number, offset in each["offsets"]}, each["members"])
            for name, each in found.items()
        }

    def set_group(self, bootstrap: str, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """A group, which has no members there, goes on from these offsets."""
        self._of(bootstrap, "set-group", group=group, offsets=[[*place, offset] for place, offset in offsets.items()])

    def delete_topics(self, bootstrap: str, names: Sequence[str]) -> None:
        """They may be gone already."""
        self._of(bootstrap, "delete-topics", topics=names)

    # --- both sides -----------------------------------------------------------------------------

    def compare(  # noqa: PLR0917 - as callers have them
        self,
        source: str,
        target: str,
        topic: str,
        compacted: bool,
        spans: Mapping[int, Span],
        hear: Callable[[str], None],
        check: Callable[[], None],
        *,
        last: bool = False,
        patience: float = PATIENCE,
    ) -> dict[int, Compared]:
        """Partitions of a topic, by number. What the target hasn't got yet is waited for.

        `hear` gets how far it is, `check` is called all the time and may raise. With `last` the
        source stands still, and the target may have nothing behind its last record.
        """
        topics = {topic: (compacted, spans)}
        return self.compare_topics(source, target, topics, hear, check, last=last, patience=patience)[topic]

    def compare_topics(
        self,
        source: str,
        target: str,
        topics: Mapping[str, tuple[bool, Mapping[int, Span]]],
        hear: Callable[[str], None],
        check: Callable[[], None],
        *,
        last: bool = False,
        patience: float = PATIENCE,
    ) -> dict[str, dict[int, Compared]]:
        """As compare, of many topics: whether each is compacted, and its spans."""
        asked = {
            "source": source,
            "target": target,
            "topics": {
                name: {"compacted": compacted, "spans": {number: list(astuple(span)) for number, span in spans.items()}}
                for name, (compacted, spans) in topics.items()
            },
            "patience": patience,
            "last": last,
        }
        found = self._ask("compare", asked, longest=_HOURS, hear=hear, check=check)
        return {name: {int(number): _compared(one) for number, one in each.items()} for name, each in found.items()}

    def translate(  # noqa: PLR0917 - as compare has them
        self,
        source: str,
        target: str,
        topic: str,
        compacted: bool,
        marks: Mapping[int, Sequence[tuple[int, int]]],
        wanted: Mapping[int, Sequence[int]],
        check: Callable[[], None] = lambda: None,
    ) -> dict[int, dict[int, int]]:
        """The target's offsets that are the same places as these of the source, by partition.

        Both sides stand still, and were compared to their ends. `marks` are all their runs.
        """
        asked = {"source": source, "target": target, "topic": topic, "compacted": compacted, "marks": marks, "wanted": wanted}
        found = self._ask("translate", asked, longest=_HOURS, check=check)
        return {int(number): dict(each) for number, each in found.items()}

    def _of(self, bootstrap: str, question: str, **asked: Any) -> Any:  # noqa: ANN401 - JSON
        return self._ask(question, {"brokers": bootstrap, "side": bootstrap, **asked})

    def _ask(self, question: str, asked: Mapping[str, Any] | None = None, **how: Any) -> Any:  # noqa: ANN401 - JSON, and as call has them
        command = [*PYTHON, f"{PROGRAM}/main.py", question]
        line = json.dumps(asked or {}).encode() + b"\n"
        said = json.loads(call(self.side.api, self.path, COMPARE, command, stdin=line, **{"longest": _LONGEST, **how}))
        if "failed" in said:
            raise Broken(str(said["failed"]))
        return said["answer"]

    def _manifest(self) -> Json:
        return manifest(self.side, self.move, self._run, self.image)


def _compared(said: Mapping[str, Any]) -> Compared:
    last = said["last"]
    runs = [(one, other) for one, other in said["runs"]]
    return Compared(**{**said, "runs": runs, "last": (last[0], last[1]) if last else None})
