"""Reads the text of a file of manifests, whatever a shell or an editor has made of it."""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from components.provisioners.lint.nodes import ManifestError

# In bytes; a list of 2,000 classes, as kubectl prints it, has about 2 MiB.
LARGEST_FILE = 8 * 2**20

# What a file begins with, longest first: PowerShell's `>` writes UTF-16 with such a mark.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Two escapes of JSON for one character beyond 16 bits, which YAML doesn't have.
_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


def read_text(name: str) -> str:
    """The text of the file, or of standard input for `-`.

    Raises ManifestError for what can't be read, with the line where there is one.
    """
    return decoded(b"".join(_pieces(name)))


def decoded(content: bytes) -> str:
    """The text of UTF-8, UTF-16 or UTF-32, with or without a mark at its beginning.

    Raises ManifestError for bytes that are no text.
    """
    mark, encoding = next((each for each in _MARKS if content.startswith(each[0])), (b"", _guessed(content)))
    content = content.removeprefix(mark)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as problem:
        line = content[: problem.start].decode(encoding, "ignore").count("\n") + 1
        raise ManifestError(
            f"no text: {encoding.upper()} has no such bytes as {content[problem.start : problem.end].hex(' ')}", line
        ) from None
    if text.lstrip().startswith(("{", "[")):
        text = _PAIR.sub(_one_character, text)
    return text


def _guessed(content: bytes) -> str:
    """ASCII in UTF-16 has a zero in every other byte."""
    first, second = content[:1], content[1:2]
    if first and second == b"\0":
        return "utf-16-le"
    return "utf-16-be" if first == b"\0" and second not in (b"", b"\0") else "utf-8"


def _one_character(pair: re.Match[str]) -> str:
    high, low = int(pair[2], 16), int(pair[3], 16)
    return f"{pair[1]}{chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))}"


def _pieces(name: str) -> Iterator[bytes]:
    """The content, up to the largest that is read: a device or a pipe may have no end."""
    try:
        if name == "-":
            yield from _bounded(sys.stdin.buffer)
        else:
            with Path(name).open("rb") as file:
                yield from _bounded(file)
    except IsADirectoryError:
        raise ManifestError("a folder: name the files in it") from None
    except (OSError, ValueError) as problem:  # ValueError: a name with a null character
        raise ManifestError(getattr(problem, "strerror", None) or str(problem)) from None


def _bounded(file: BinaryIO) -> Iterator[bytes]:
    size = 0
    while piece := file.read(2**20):
        size += len(piece)
        if size > LARGEST_FILE:
            raise ManifestError(f"more than {LARGEST_FILE // 2**20} MiB: divide it into smaller files")
        yield piece
