"""Rules for a tier's VolumeSnapshotClass (docs/snapshot.md; EC2, LockSnapshot)."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from components.provisioners.ebs.limits import LONGEST_COOL_OFF, LONGEST_LOCK
from components.provisioners.ebs.parameters import EXAMPLE_OUTPOST, EXAMPLE_ZONE, ZONE, EbsSnapshots
from components.provisioners.ebs.tag_rules import SNAPSHOT_FIELDS, tags
from components.provisioners.findings import Finding, error, warning
from components.provisioners.remedies import Add, Drop, Set
from components.provisioners.shared_rules import zones

_PATH = "snapshots."
_EXAMPLE_TIME = "2030-12-31T23:59:59Z"
_OUTPOST = re.compile(r"arn:aws(?:-[a-z]+)*:outposts:[a-z0-9-]+:[0-9]{12}:outpost/op-[0-9a-f]+")


def snapshots(s: EbsSnapshots) -> Iterator[Finding]:
    """All rules for snapshots.

    EC2 locks a snapshot for a number of days or until a date, in one of two modes.
    """
    yield from tags(s.tag_specification, _PATH, SNAPSHOT_FIELDS)
    restored = s.fast_snapshot_restore_availability_zones
    yield from zones(restored, ZONE, "AWS", EXAMPLE_ZONE, f"{_PATH}fastSnapshotRestoreAvailabilityZones")
    if s.outpost_arn is not None and not _OUTPOST.fullmatch(s.outpost_arn):
        yield error(f"{_PATH}outpostArn", s.outpost_arn, "the ARN of an outpost", Set(EXAMPLE_OUTPOST))
    if s.lock_mode is None:
        yield from _unlocked(s)
    else:
        yield from _locked(s, s.lock_mode)


def _unlocked(s: EbsSnapshots) -> Iterator[Finding]:
    of_locks = {"lockDuration": s.lock_duration, "lockExpirationDate": s.lock_expiration_date, "lockCoolOffPeriod": s.lock_cool_off_period}
    for key, value in of_locks.items():
        if value is not None:
            yield error(f"{_PATH}{key}", value, "it needs lockMode: EC2 refuses it", Drop(key))


def _locked(s: EbsSnapshots, mode: str) -> Iterator[Finding]:
    if mode not in ("governance", "compliance"):
        yield error(f"{_PATH}lockMode", mode, "governance or compliance", Set("governance"))
    ends = [end for end in (s.lock_duration, s.lock_expiration_date) if end is not None]
    if len(ends) != 1:
        rule = "a lock has either lockDuration or lockExpirationDate: EC2 refuses none and both"
        yield error(f"{_PATH}lockMode", mode, rule, Drop("lockExpirationDate") if ends else Add({"lockDuration": 7}))
    if s.lock_duration is not None and not 1 <= s.lock_duration <= LONGEST_LOCK:
        nearest = min(max(s.lock_duration, 1), LONGEST_LOCK)
        yield error(f"{_PATH}lockDuration", s.lock_duration, f"from 1 to {LONGEST_LOCK} days", Set(nearest))
    if s.lock_expiration_date is not None:
        yield from _expiration(s.lock_expiration_date)
    if s.lock_cool_off_period is not None:
        yield from _cool_off(s.lock_cool_off_period, mode)
    if s.deletion_policy == "Delete":
        rule = "a locked snapshot can't be deleted: the VolumeSnapshot would hang until the lock ends"
        yield warning(f"{_PATH}deletionPolicy", "Delete", rule, Set("Retain"))


def _expiration(date: str) -> Iterator[Finding]:
    path = f"{_PATH}lockExpirationDate"
    if not _is_time(date):
        yield error(path, date, "a moment as RFC 3339 has it, with a time zone", Set(_EXAMPLE_TIME))
    elif datetime.datetime.fromisoformat(date) <= datetime.datetime.now(datetime.UTC):
        yield error(path, date, "a moment that is still to come: EC2 refuses it", Set(_EXAMPLE_TIME))


def _cool_off(hours: int, mode: str) -> Iterator[Finding]:
    path = f"{_PATH}lockCoolOffPeriod"
    if mode == "governance":
        yield error(path, hours, "for lockMode compliance alone: EC2 refuses it", Drop("lockCoolOffPeriod"))
    elif not 1 <= hours <= LONGEST_COOL_OFF:
        yield error(path, hours, f"from 1 to {LONGEST_COOL_OFF} hours", Set(min(max(hours, 1), LONGEST_COOL_OFF)))


def _is_time(text: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", text, re.ASCII):
        return False
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
