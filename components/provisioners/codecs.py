"""How typed values are written in the strings of a StorageClass, and how a driver reads them back.

The parameters of a class are strings, and each driver has its own reading of them.
To EBS `"True"` is false; to GCE PD `"250"` is 250 bytes a second.
A codec belongs to a field of a provisioner's parameters.
`write` gives the string that the driver reads as the typed value.
`read` gives the value that the driver makes of a string.
It raises Misread for a string that the driver refuses, ignores or takes for something else.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from components.kube.quantity import GI, MI, number_of

T = TypeVar("T")

_INT32 = range(-(2**31), 2**31)
_LARGEST = 2**63 - 2  # the GCE PD driver compares with 2^63 - 1, and refuses what is no less


class Misread(ValueError):
    """A string that the driver refuses, ignores or reads as something else: `rule` says which.

    `works` is what the text seems to mean, as the driver reads it; empty where there is no telling.
    """

    def __init__(self, rule: str, works: str = "") -> None:
        super().__init__(rule)
        self.rule = rule
        self.works = works


class Codec(ABC, Generic[T]):
    """How one parameter is written in a class."""

    @abstractmethod
    def write(self, value: T) -> str:
        """The string that the driver reads as `value`."""

    @abstractmethod
    def read(self, text: str) -> T:
        """The value that the driver makes of `text`; raises Misread."""

    def of_example(self, example: str) -> str:
        """An example of the settings, `250` or `{team: data}`, as a class has it."""
        return example

    def doubt(self, text: str) -> Misread | None:
        """What the driver does to a text that it takes: it rounds it, or drops a part of it.

        None where it takes the text as it is, and for a text that `read` raises Misread for.
        """
        del text
        return None


class Whole(Codec[int]):
    """Base of the codecs of whole numbers."""

    def of_example(self, example: str) -> str:
        """The number with what the driver wants beside it."""
        return self.write(int(example)) if example.isascii() and example.isdigit() else example


class Text(Codec[str]):
    """A text that the driver takes as it is.

    An empty one is as good as none, unless the driver refuses it: `empty` is what works then.
    """

    def __init__(self, empty: str = "") -> None:
        self.empty = empty

    def write(self, value: str) -> str:
        """The text."""
        return value

    def read(self, text: str) -> str:
        """The text; Misread is an empty one that the driver refuses."""
        if not text and self.empty:
            raise Misread("an empty text: the driver refuses the class", self.empty)
        return text


class LowerCase(Text):
    """A text that the driver puts into lower case."""

    def read(self, text: str) -> str:
        """The text in lower case; Misread is an empty one that the driver refuses."""
        return super().read(text).lower()


class ExactTruth(Codec[bool]):
    """True for exactly `true` alone, as the EBS driver has it (util.IsTrue); else false."""

    def write(self, value: bool) -> str:
        """`true` or `false`."""
        return "true" if value else "false"

    def read(self, text: str) -> bool:
        """Misread is whatever is meant as true, or is neither."""
        if text in ("true", "false", ""):
            return text == "true"
        raise Misread("only the exact text `true` is true to the driver: it reads this as false, without a word", _truth(text))


class Truth(ExactTruth):
    """True or false in any case, as the GCE PD driver has it (convert.ConvertStringToBool)."""

    def read(self, text: str) -> bool:
        """Misread is what the driver refuses."""
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise Misread("true or false: the driver refuses anything else", _truth(text))


class LenientTruth(Truth):
    """Like Truth, but the driver takes what is neither for false, with a line in its log."""

    def read(self, text: str) -> bool:
        """Misread is a text that means true, and is none to the driver."""
        if text.lower() != "true" and _truth(text) == "true":
            raise Misread("true or false: the driver ignores anything else, with a line in its log", "true")
        return text.lower() == "true"

    def doubt(self, text: str) -> Misread | None:
        """What is neither."""
        if text.lower() in ("true", "false"):
            return None
        return Misread("true or false: the driver ignores anything else, with a line in its log", "false")


def _truth(text: str) -> str:
    """What a text seems to mean, `true` or `false`."""
    return "true" if text.strip().lower() in ("true", "yes", "on", "1", "t", "y") else "false"


class Int32(Whole):
    """A whole number of 32 bits, as the EBS driver has it (strconv.ParseInt)."""

    def write(self, value: int) -> str:
        """The number in decimal digits."""
        return str(value)

    def read(self, text: str) -> int:
        """Misread is what the driver refuses: a fraction, a unit, a space, more than 32 bits."""
        number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,1000}", text, re.ASCII) else None
        if number is None or number not in _INT32:
            digits = re.search("[0-9]{1,9}", re.sub(r"[,_' ]", "", text))
            rule = "the driver takes a whole number of 32 bits (at most 2147483647), without a unit: `Could not parse invalid …`"
            raise Misread(rule, digits[0] if digits and number is None else "")
        return number


class Count(Whole):
    """A whole number that the GCE PD driver reads as a Kubernetes quantity: `3000` or `3k`.

    In the driver: convert.ConvertStringToInt64.
    """

    def write(self, value: int) -> str:
        """The number in decimal digits."""
        return str(value)

    def read(self, text: str) -> int:
        """Rounded up; Misread is what is no quantity, or one of more than 64 bits."""
        return _whole(text, 1, "")

    def doubt(self, text: str) -> Misread | None:
        """A fraction, which the driver rounds up."""
        return _rounded(text, 1, "")


class MiB(Whole):
    """MiB a second that the GCE PD driver reads as a quantity of bytes and rounds up: `250Mi`.

    In the driver: convert.ConvertMiStringToInt64.
    """

    def write(self, value: int) -> str:
        """The number with its unit."""
        return f"{value}Mi"

    def read(self, text: str) -> int:
        """Misread is less than one MiB, such as a number without a unit, which is bytes."""
        return _whole(text, MI, "Mi")

    def doubt(self, text: str) -> Misread | None:
        """A number of bytes that is no whole MiB: `250M` is 239 MiB to the driver."""
        return _rounded(text, MI, "Mi")


class GiB(Whole):
    """GiB that the GCE PD driver reads as a quantity of bytes and rounds up: `100Gi`.

    In the driver: convert.ConvertGiStringToInt64.
    """

    def write(self, value: int) -> str:
        """The number with its unit."""
        return f"{value}Gi"

    def read(self, text: str) -> int:
        """Misread is less than one GiB, such as a number without a unit, which is bytes."""
        return _whole(text, GI, "Gi")

    def doubt(self, text: str) -> Misread | None:
        """A number of bytes that is no whole GiB: `100G` is 94 GiB to the driver."""
        return _rounded(text, GI, "Gi")


_NAMES = {MI: "MiB/s", GI: "GiB"}


def _whole(text: str, unit: int, suffix: str) -> int:
    """What the GCE PD driver reads a quantity as, in `unit`: whole ones, rounded up."""
    try:
        number = parse_quantity(text)
    except Misread as problem:
        raise Misread(problem.rule, _meant(text, suffix)) from None
    if abs(number) > _LARGEST:
        raise Misread("the driver takes less than 2^63 (9223372036854775807)")
    if unit > 1 and 0 < number < unit:
        bare = "a number without a unit is bytes" + (" a second" if unit == MI else "")
        what = bare if re.fullmatch(r"[+0-9.]+", text) else f"`{text}` is less than one {_NAMES[unit]}"
        rule = f"{what}: the driver rounds `{text}` up to 1 {_NAMES[unit]}, without a word"
        raise Misread(rule, f"{text}{suffix}" if text.isdigit() else "")
    whole = math.ceil(number)  # of bytes, as the driver has it
    return math.ceil(Fraction(whole, unit)) if whole > 0 else -(-whole // unit)


def _rounded(text: str, unit: int, suffix: str) -> Misread | None:
    """That the driver rounds `text`, and to what; None for whole ones."""
    number = parse_quantity(text) / unit
    if number.denominator == 1 or number <= 0:
        return None
    works = f"{math.ceil(number)}{suffix}"
    return Misread(f"no whole number{f' of {_NAMES[unit]}' if suffix else ''}: the driver rounds `{text}` up to `{works}`", works)


def _meant(text: str, suffix: str) -> str:
    """The quantity that a text seems to mean: `250 MiB/s` is 250Mi, `3,000 IOPS` is 3000.

    Empty where there is no telling.
    """
    found = re.match(
        r"\s*(?P<number>[0-9]{1,9})(?![0-9.])\s*(?P<unit>[A-Za-z]?)", re.sub(r"(?<=[0-9])[,_'](?=[0-9]{3})", "", text), re.ASCII
    )
    if found is None or (suffix and found["unit"].lower() == "k"):
        return ""
    unit = found["unit"].upper()
    if suffix:
        return f"{found['number']}{f'{unit}i' if unit in ('M', 'G', 'T') else suffix}"
    return f"{found['number']}{'k' if unit == 'K' else ''}"


class CommaList(Codec[list[str]]):
    """Texts with commas between them.

    `spaces` says whether the driver drops spaces around each.
    An empty text is as good as none, unless the driver refuses it: `empty` is what works then.
    """

    def __init__(self, *, spaces: bool = True, empty: str = "") -> None:
        self.spaces = spaces
        self.empty = empty

    def write(self, value: list[str]) -> str:
        """The texts, with commas between them."""
        return ",".join(value)

    def of_example(self, example: str) -> str:
        """`[a, b]` with commas alone."""
        return self.write(example[1:-1].split(", ")) if example.startswith("[") else example

    def read(self, text: str) -> list[str]:
        """The texts; Misread is an empty one that the driver refuses."""
        if not text and self.empty:
            raise Misread("an empty text: the driver refuses the class", self.empty)
        return [each.strip() if self.spaces else each for each in text.split(",")] if text else []


class Pairs(Codec[dict[str, str]]):
    """`key=value` with commas between, as the GCE PD driver has it.

    In the driver: convert.ConvertLabelsStringToMap.
    """

    def write(self, value: dict[str, str]) -> str:
        """The pairs, with commas between them."""
        return ",".join(f"{key}={each}" for key, each in value.items())

    def of_example(self, example: str) -> str:
        """`{team: data}` as `team=data`."""
        pairs = [pair.partition(": ") for pair in example[1:-1].split(", ")]
        return self.write({key: value for key, _, value in pairs}) if example.startswith("{") else example

    def read(self, text: str) -> dict[str, str]:
        """Misread is what has not exactly one `=` in each pair, or a key with two values."""
        written = [pair.split("=") for pair in text.split(",")] if text else []
        pairs = [(pair[0].strip(), pair[1].strip()) for pair in written if len(pair) == 2]
        if len(pairs) < len(written):
            rule = "the driver takes `key=value` pairs with commas between them, and no other `=` or `,`"
            raise Misread(rule, self.write(dict(pairs)) or "team=data,env=production")
        if len(dict(pairs)) < len(set(pairs)):
            raise Misread("a key is there twice, and the driver takes the last of them, without a word", self.write(dict(pairs)))
        return dict(pairs)


class Numbered(NamedTuple):
    """A field whose values are keys of their own in the class, all with this prefix.

    For example `tagSpecification_1` and `tagSpecification_2`.
    """

    prefix: str


def codec_of(field: FieldInfo) -> Codec[Any] | Numbered | None:
    """How the field is written in a class; None for one that is no parameter, such as `zones`."""
    return next((each for each in field.metadata if isinstance(each, Codec | Numbered)), None)


def class_parameters(model: BaseModel) -> dict[str, str]:
    """The parameters of a class, as the driver reads them. What isn't set is left to the driver."""
    parameters: dict[str, str] = {}
    for name, field in type(model).model_fields.items():
        codec, value = codec_of(field), getattr(model, name)
        if isinstance(codec, Numbered):
            parameters.update(value)
        elif codec and value not in (None, [], {}):
            parameters[field.alias or name] = codec.write(value)
    return parameters


def parse_quantity(text: str) -> Fraction:
    """A Kubernetes quantity as a number, with a sign; raises Misread for a text that is none."""
    try:
        return number_of(text)
    except ValueError:
        rule = "the driver takes a Kubernetes quantity: a number, and at most one of the units k, M, G, T, Ki, Mi, Gi, Ti"
        raise Misread(rule) from None
