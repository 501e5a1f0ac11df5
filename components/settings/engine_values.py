"""What the values of an engine's settings must be, by the engine's own limits.

Each function takes the value as it is written, and returns it as the settings have it. For a value
that breaks the rule it raises PydanticCustomError (see values.py).
Sizes are Kubernetes quantities of whole bytes: a number alone is bytes.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

from pydantic import ValidationInfo

from components.kube.quantity import GI, LARGEST_BYTES, MI, UNITS, Bytes, as_quantity, number_of
from components.settings.problems import nearest
from components.settings.values import require

ENGINES = ("postgresql", "kafka")
ONE_OF = " or ".join(f"`{name}`" for name in ENGINES)

# Of max_replication_slots (PostgreSQL, guc_tables.c: MAX_BACKENDS).
MOST_SLOTS = 2**18 - 1
# PostgreSQL holds max_wal_size and max_slot_wal_keep_size in MB, as a C int.
_LARGEST_WAL = (2**31 - 1) * MI
# Kafka's log.segment.bytes is a Java int, and from 4.0 on at least 1 MiB (KIP-1030).
_LARGEST_SEGMENT = 2**31 - 1
_LARGEST_COUNT = 2**31 - 1
_LARGEST_LONG = 2**63 - 1

SIZE_RULE = "a size is a Kubernetes quantity of whole bytes, such as 512Mi or 1Gi (powers of 1024), or a number of bytes"
_ALONE = "; PostgreSQL takes a number alone for MB, here it is bytes"
# As PostgreSQL writes its sizes: `64MB`, `1 GB`, `16kB`; each unit is a power of 1024.
_ENGINES_TEXT = re.compile(r"\s*(?P<number>[0-9]{1,15}(?:\.[0-9]{1,9})?)\s*(?P<unit>[kmgt]i?)?b\s*", re.IGNORECASE | re.ASCII)
_POWERS = {"k": 1024, "m": MI, "g": GI, "t": 1024 * GI}


def size(value: object) -> Bytes:
    """A size in whole bytes, 0 or more."""
    if isinstance(value, Bytes):
        return value
    exact = _number(value)
    require(exact >= 0, SIZE_RULE, "512Mi")
    require(exact <= LARGEST_BYTES, "Kubernetes holds bytes in 64 bits", "1Ti")
    require(exact.denominator == 1, f"{SIZE_RULE}; this is {_decimal(exact)} bytes", as_quantity(_whole_mi(exact)))
    return Bytes(exact)


def segment_size(value: object) -> Bytes:
    """PostgreSQL's walSegmentSize."""
    found = size(value)
    fits = MI <= found <= GI and found & (found - 1) == 0
    if not fits:
        wanted = found if found >= MI else found * MI  # PostgreSQL takes a number alone for MB
        nearest = min(max(1 << max(wanted.bit_length() - 1, 0), MI), GI)
        require(False, works=as_quantity(nearest))
    return found


def wal_size(value: object, info: ValidationInfo) -> Bytes:
    """PostgreSQL's maxWalSize, at least two of its segments (xlog.c, check_max_wal_size)."""
    found, least = size(value), 2 * int(info.data.get("wal_segment_size", 16 * MI))
    if found < least:
        alone = 0 < found < MI
        meant = max(found * MI, least) if alone else least
        require(False, f"at least twice walSegmentSize, {as_quantity(least)}{_ALONE if alone else ''}", as_quantity(meant))
    require(found <= _LARGEST_WAL, f"PostgreSQL takes {as_quantity(_LARGEST_WAL)} at most", "1Gi")
    return found


def slot_keep_size(value: object) -> Bytes | None:
    """PostgreSQL's maxSlotWalKeepSize; None for -1, no limit."""
    if _is_unlimited(value):
        return None
    found = size(value)
    if 0 < found < MI:
        require(False, f"1Mi or more, or 0{_ALONE}", as_quantity(found * MI))
    require(found <= _LARGEST_WAL, f"PostgreSQL takes {as_quantity(_LARGEST_WAL)} at most", "1Gi")
    return found


def retention_bytes(value: object) -> Bytes | None:
    """Kafka's retentionBytes; None for -1, no limit."""
    return None if _is_unlimited(value) else size(value)


def segment_bytes(value: object) -> Bytes:
    """Kafka's segmentBytes."""
    found = size(value)
    require(MI <= found <= _LARGEST_SEGMENT, works="1Mi" if found < MI else str(_LARGEST_SEGMENT))
    return found


def slots(value: object) -> int:
    """A number of replication slots."""
    found = _integer(value)
    require(0 <= found <= MOST_SLOTS, works="0" if found < 0 else str(MOST_SLOTS))
    return found


def count(value: object) -> int:
    """A number of partitions, or of copies."""
    found = _integer(value)
    require(1 <= found <= _LARGEST_COUNT, works="1" if found < 1 else "12")
    return found


def milliseconds(value: object) -> int:
    """A time in milliseconds; -1 is no limit."""
    found = _integer(value)
    require(-1 <= found <= _LARGEST_LONG, works="-1" if found < 0 else "604800000")
    return found


def mapping(value: object) -> object:
    """The settings of an engine: what comes after the colon is a mapping."""
    require(value is not None, "nothing after the colon; `{}` stands for the engine's defaults", "{}")
    return value


def engine(value: object) -> object:
    """A mapping with a key that is an engine's, or looks like one."""
    named = not isinstance(value, dict) or any(nearest(str(key), ENGINES) for key in value)
    require(value is not None and named, f"one engine: {ONE_OF}", "{postgresql: {}}")
    return value


def one_engine(postgresql: bool, kafka: bool) -> None:
    """Exactly one of the two."""
    require(postgresql or kafka, f"one engine: {ONE_OF}", "{postgresql: {}}")
    require(not (postgresql and kafka), "one engine, not both: a volume is one engine's", "one of `postgresql` and `kafka`")


def _is_unlimited(value: object) -> bool:
    return not isinstance(value, bool) and value in (-1, "-1")


def _integer(value: object) -> int:
    """A whole number, written as a number."""
    if isinstance(value, str) and re.fullmatch("-?[0-9]{1,18}", value, re.ASCII):
        require(False, "a whole number; in quotes it is a text", value)
    require(isinstance(value, int) and not isinstance(value, bool))
    assert isinstance(value, int)
    return value


def _number(value: object) -> Fraction:
    """The bytes that a number or a text stands for."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        require(math.isfinite(value), SIZE_RULE, "512Mi")
        return Fraction(value)
    if isinstance(value, str):
        try:
            return number_of(value)
        except ValueError:
            _refuse_text(value)
    require(False, SIZE_RULE, "512Mi")
    raise AssertionError


def _refuse_text(text: str) -> None:
    """Raise for a text that is no quantity, with the one that was meant where that is clear."""
    found = _ENGINES_TEXT.fullmatch(text) or re.fullmatch(r"\s*(?P<number>[0-9]{1,15})\s+(?P<unit>[kmgt]i?)\s*", text, re.I | re.A)
    if found is None:
        return
    exact = Fraction(found["number"]) * _POWERS.get((found["unit"] or "")[:1].lower(), 1)
    meant = math.ceil(exact)
    if 0 <= meant <= LARGEST_BYTES:
        power = next((name for name in ("Ti", "Gi", "Mi") if meant and meant % UNITS[name] == 0), "")
        works = f"{meant // UNITS[power]}{power}" if power else f"{meant // 1024}Ki" if meant and meant % 1024 == 0 else str(meant)
        require(False, f"{SIZE_RULE}; PostgreSQL's own units are written otherwise here", works)


def _whole_mi(exact: Fraction) -> int:
    """The next whole Mi where it is one or more, else the next whole byte."""
    return math.ceil(exact / MI) * MI if exact >= MI else math.ceil(exact)


def _decimal(exact: Fraction) -> str:
    return f"{float(exact):.3f}".rstrip("0").rstrip(".")
