"""Whether the last record that was compared is still the same one on both sides.

After an unclean election of a leader a log is cut, and other records may grow past where it was:
offsets alone don't show that (https://kafka.apache.org/documentation/#design_uncleanleader). Each
record that was compared behind the cut is another one then, and so is the last.
"""

from __future__ import annotations

from .records import Log, Stream

_WHY = "A log was cut since, as by an unclean leader election"


def changed(source: Log, target: Log, last: tuple[int, int]) -> str:
    """What is different at these offsets; empty where nothing is, or retention has removed one.

    Raises MirrorFault and Removed.
    """
    streams = [Stream(log, offset, offset + 1) for log, offset in zip((source, target), last, strict=True)]
    if any(each.removed for each in streams):
        return ""
    for side, offset, stream in zip(("source", "target"), last, streams, strict=True):
        if stream.log.end <= offset:
            return f"{side} offset {offset}, which was compared, is gone: the log ends at {stream.log.end}. {_WHY}"
    ours, theirs = (stream.look() for stream in streams)
    if [each[1:] for each in ours] == [each[1:] for each in theirs] != []:
        return ""
    return f"source offset {last[0]} and target offset {last[1]} were the same when they were compared, and aren't any more. {_WHY}"
