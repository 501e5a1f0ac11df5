"""Sizes of volumes as a value type, and Kubernetes quantities.

The API server takes `3.3Gi`, which is not a whole number of bytes, stores it as `3543348019200m`
and warns that a "fractional byte value is invalid, must be an integer". So a size is rounded up to
the smallest whole Mi that holds it: never less than was asked for, a unit that every provisioner
takes, and at most 1 Mi more. Clouds make volumes of whole Gi: there it is rounded up to these.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction

MI = 2**20
GI = 2**30
TI = 2**40
UNITS = {"Mi": MI, "Gi": GI, "Ti": TI}

# Kubernetes holds a quantity of bytes in an int64 (apimachinery, resource.Quantity.Value).
# This is the largest whole Mi in it.
LARGEST_BYTES = (2**63 - 1) // MI * MI

# More digits than any size needs; without a bound a hostile text costs time and memory in Fraction.
LONGEST_TEXT = 32

_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>Mi|Gi|Ti)")
_NUMBER_AND_REST = re.compile(
    r"\s*[-+]?(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE](?P<exponent>[-+]?[0-9]{1,2}))?(?P<rest>.*)", re.ASCII | re.DOTALL
)
_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:(?P<suffix>[numkMGTPE]|[KMGTPE]i)|[eE](?P<exponent>[+-]?[0-9]{1,2}))?", re.ASCII
)
RULE = "a size is a positive number and one of the units Mi, Gi and Ti (powers of 1024), without a space, sign or exponent"


class SizeError(ValueError):
    """A text that is no size: `rule` says what one is, `works` is the nearest text that is one."""

    def __init__(self, text: str, rule: str, works: str) -> None:
        super().__init__(f"{text!r} is not a size: {rule}; for example {works}")
        self.text = text
        self.rule = rule
        self.works = works


@dataclass(frozen=True, order=False)
class Size:
    """A size of a volume.

    Made by `Size.parse`; all that follows from the text is computed from it exactly.

    `requested` is the text as it was written, for example `3.3Gi`; `exact` is the same in bytes,
    which need not be whole; `unit` is what the provisioner makes volumes of, in bytes, a whole
    number of Mi.
    """

    requested: str
    exact: Fraction
    unit: int = MI

    @classmethod
    def parse(cls, text: str) -> Size:
        """The size that a text such as `5Gi`, `3.3Gi`, `512Mi` or `1.5Ti` stands for.

        Raises SizeError for any other.
        """
        match = _SIZE.fullmatch(text) if len(text) <= LONGEST_TEXT else None
        if match is None:
            raise SizeError(text, RULE, _nearest(text))
        exact = Fraction(match["number"]) * UNITS[match["unit"]]
        if exact == 0:
            raise SizeError(text, "a volume of nothing can't be provisioned; the smallest size is above zero", f"1{match['unit']}")
        if exact > LARGEST_BYTES:
            raise SizeError(text, "Kubernetes holds bytes in 64 bits, so a size is below 8388608Ti", "16Ti")
        return cls(text, exact)

    def in_units_of(self, unit: int) -> Size:
        """The same size where volumes are a whole number of `unit` bytes (EBS, PD: 1 GiB)."""
        return replace(self, unit=unit)

    @property
    def requested_bytes(self) -> int:
        """The bytes asked for, rounded up to whole ones."""
        return math.ceil(self.exact)

    @property
    def provisioned_bytes(self) -> int:
        """The bytes asked of Kubernetes: the smallest whole number of `unit` for the request.

        A driver would round up by itself, and bill it, but the claim would go on showing the
        smaller size.
        """
        return math.ceil(self.exact / self.unit) * self.unit

    @property
    def provisioned(self) -> str:
        """`provisioned_bytes` as the API server writes it back.

        It turns 5120Mi into 5Gi (resource.Quantity.CanonicalizeBytes). Any other spelling would
        show as a difference at every refresh.
        """
        return quantity(self.provisioned_bytes)


class Bytes(int):
    """A whole number of bytes, shown as a Kubernetes quantity (see as_quantity)."""

    def __str__(self) -> str:
        return as_quantity(int(self))


def quantity(number_of_bytes: int) -> str:
    """A whole number of Mi, in bytes, as a quantity with the largest unit that keeps it whole.

    The API server's canonical form goes beyond Ti, to Pi and Ei, so this does too; nothing is `0`.
    Raises ValueError for bytes that are no whole Mi.
    """
    if number_of_bytes == 0:
        return "0"
    if number_of_bytes % MI:
        raise ValueError(f"{number_of_bytes} bytes are not a whole number of Mi")
    number, unit = number_of_bytes // MI, 0
    names = ("Mi", "Gi", "Ti", "Pi", "Ei")
    while number % 1024 == 0 and unit < len(names) - 1:
        number, unit = number // 1024, unit + 1
    return f"{number}{names[unit]}"


def as_quantity(number_of_bytes: int) -> str:
    """Bytes as a Kubernetes quantity: as people write it (`3380Mi`), else the number itself."""
    return str(number_of_bytes) if number_of_bytes % MI else quantity(number_of_bytes)


def bytes_of(text: str) -> int:
    """The bytes that a Kubernetes quantity stands for, rounded up to whole ones.

    Its forms are such as `5Gi`, `5e9`, `10G` and `3543348019200m`. Raises ValueError for a text
    that is none, and for one below nothing.
    """
    found = number_of(text)
    if text.startswith(("+", "-")):
        raise ValueError(f"{text!r} is not a Kubernetes quantity of bytes")
    return math.ceil(found)


def number_of(text: str) -> Fraction:
    """The number that any Kubernetes quantity stands for, exactly.

    The forms are those of apimachinery's resource.Quantity.

    Raises ValueError for a text that is none.
    """
    found = _QUANTITY.fullmatch(text) if len(text) <= LONGEST_TEXT else None
    if found is None:
        raise ValueError(f"{text!r} is not a Kubernetes quantity")
    return Fraction(found["number"].rstrip(".")) * Fraction(10) ** int(found["exponent"] or 0) * _SUFFIXES[found["suffix"] or ""]


_SUFFIXES = {
    **{name: Fraction(1000) ** power for power, name in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), -3)},
    **{name: Fraction(1024) ** power for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}


def _nearest(text: str) -> str:
    """The valid size that was most likely meant by `text`."""
    match = _NUMBER_AND_REST.fullmatch(text.replace(",", ".")) if len(text) <= LONGEST_TEXT else None
    if match is None:
        return "5Gi"
    number = Fraction(match["number"]) * Fraction(10) ** int(match["exponent"] or 0)
    rest = match["rest"].strip().lower()
    unit = {"m": "Mi", "g": "Gi", "t": "Ti"}.get(rest[:1], "")
    if rest[:1] == "k":  # Ki: too small a unit for a volume, the same size in Mi
        number, unit = Fraction(math.ceil(number / 1024)), "Mi"
    elif rest[:1] in ("p", "e"):
        number, unit = number * 1024 ** (1 if rest[0] == "p" else 2), "Ti"
    elif rest in ("", "b") and number >= MI:  # bytes
        return _valid_or_default(quantity(math.ceil(number / MI) * MI))
    unit = unit or "Gi"
    if number == 0:
        number = Fraction(1)
    return _valid_or_default(f"{_decimal(number)}{unit}")


def _valid_or_default(candidate: str) -> str:
    match = _SIZE.fullmatch(candidate) if len(candidate) <= LONGEST_TEXT else None
    return candidate if match and 0 < Fraction(match["number"]) * UNITS[match["unit"]] <= LARGEST_BYTES else "5Gi"


def _decimal(number: Fraction) -> str:
    """A fraction as the shortest decimal text of at most six places, rounded up."""
    scaled = math.ceil(number * 10**6)
    whole, places = divmod(scaled, 10**6)
    return f"{whole}.{places:06d}".rstrip("0").rstrip(".")
