"""Answers one question of the driver: its name is the argument, a line of JSON comes on stdin.

JSON comes on stdout: `{"answer": …}`, or `{"failed": "why"}`. Progress is on stderr, a line each.
Where stdin ends before, nobody waits for the answer any more, and it ends as well.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

if __name__ == "__main__" and not __package__:  # started as a file: its folder is its package (PEP 366)
    sys.path.append(str(Path(__file__).absolute().parents[1]))
    sys.path.append("/tools/packages")
    __package__ = Path(__file__).absolute().parent.name

from .again import changed
from .brokers import Brokers, reaches
from .compacted import CompactedComparison
from .compare import Compared, PartitionComparison, Span
from .places import translate, translate_compacted
from .records import MirrorFault, PartitionReader, Removed, Stream
from .worker import Worker

_TELLING = 1.0  # seconds between two lines of progress
_AT_ONCE = 4  # partitions that are compared: each has up to 50 MB of memory
_AGAIN = 5  # times that retention may be quicker


def _compare(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Partitions of topics, several at once: for most of them it is waiting that takes time."""
    of_thread = threading.local()
    jobs = [(topic, number) for topic, each in asked["topics"].items() for number in each["spans"]]

    def one(job: tuple[str, str]) -> dict[str, Any]:
        if not hasattr(of_thread, "readers"):
            of_thread.readers = [PartitionReader(asked[side], side) for side in ("source", "target")]
        topic, number = job
        compacted, spans = asked["topics"][topic]["compacted"], asked["topics"][topic]["spans"]
        source, target = (each.of(topic, int(number)) for each in of_thread.readers)
        kind = CompactedComparison if compacted else PartitionComparison
        tell = _progress(f"{topic}-{number}")
        for left in reversed(range(_AGAIN)):
            try:
                span = Span(*spans[number])
                different = changed(source, target, span.last) if span.last else ""
                if different:
                    return Compared(source_to=span.source_from, target_to=span.target_from, difference=different).as_json()
                found: Compared = kind(source, target, span, asked["patience"], tell, last=asked["last"]).run()
                break
            except Removed:
                if not left:
                    raise
        return found.as_json()

    pool = ThreadPoolExecutor(_AT_ONCE)
    found: dict[str, Any] = {topic: {} for topic in asked["topics"]}
    try:
        for (topic, number), made in zip(jobs, pool.map(one, jobs), strict=True):
            found[topic][number] = made
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return found


def _empty(asked: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Partitions without a committed record between two offsets, though these aren't the same."""
    reader = PartitionReader(asked["brokers"], asked["side"])
    return [(topic, number) for topic, number, begin, end in asked["spans"] if not Stream(reader.of(topic, number), begin, end).look()]


def _translate(asked: Mapping[str, Any]) -> dict[str, Any]:
    source, target = PartitionReader(asked["source"], "source"), PartitionReader(asked["target"], "target")
    topic: str = asked["topic"]
    found: dict[str, Any] = {}
    ends = [{each[1]: each[3] for each in Brokers(asked[side], side).offsets([topic])} for side in ("source", "target")]
    for number, wanted in asked["wanted"].items():
        where = int(number)
        ours, theirs = source.of(topic, where), target.of(topic, where)
        both = (ends[0][where], ends[1][where])
        if asked["compacted"]:
            made = translate_compacted(ours, theirs, wanted, both)
        else:
            made = translate(ours, theirs, [(each[0], each[1]) for each in asked["marks"].get(number, [])], wanted, both)
        found[number] = list(made.items())
    return found


def _progress(what: str) -> Callable[[int], None]:
    told = time.monotonic()

    def tell(count: int) -> None:
        nonlocal told
        if time.monotonic() - told >= _TELLING:
            told = time.monotonic()
            print(f"{what}: {count} records", file=sys.stderr, flush=True)

    return tell


QUESTIONS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "reaches": lambda asked: reaches(asked["addresses"], asked["cluster"]),
    "topics": lambda asked: Brokers(asked["brokers"], asked["side"]).topics(),
    "offsets": lambda asked: Brokers(asked["brokers"], asked["side"]).offsets(asked["topics"]),
    "groups": lambda asked: Brokers(asked["brokers"], asked["side"]).groups(),
    "set-group": lambda asked: Brokers(asked["brokers"], asked["side"]).set_group(asked["group"], asked["offsets"]),
    "delete-topics": lambda asked: Brokers(asked["brokers"], asked["side"]).delete_topics(asked["topics"]),
    "empty": _empty,
    "compare": _compare,
    "translate": _translate,
    "begin": lambda asked: Worker().begin(asked["worker"], asked["connector"]),
    "stop": lambda _: Worker().stop(),
    "fault": lambda _: Worker().fault(),
    "mirrored": lambda _: Worker().mirrored(),
}


def main() -> None:
    """Answer."""
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        said = {"answer": QUESTIONS[sys.argv[1]](asked)}
    except MirrorFault as problem:
        said = {"failed": str(problem)}
    except Removed as problem:
        said = {"failed": f"{problem}: retention removes records more quickly than they are read"}
    print(json.dumps(said), flush=True)


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    # Not by way of Python's own end: a thread that reads stdin then is ended by pthread_exit, which
    # needs libgcc_s, and an image may not have that.
    status = 1
    try:
        main()
        status = 0
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
