"""A table of findings for a terminal.

The rest of the project has rich's tables; to load them takes as long as a whole check, and a
thousand of them take seconds.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import zip_longest
from typing import NamedTuple

import click

_WIDTH = 120  # columns, where the output is no terminal
_NARROWEST = 60
_SHARES = (4, 5, 4)
_FIRST = len("warning")
_GAP = 3
_COLOURS = {"error": "red", "warning": "yellow"}


class FindingRow(NamedTuple):
    """A finding in words; `where` may have several lines."""

    severity: str
    where: str
    rule: str
    works: str


def table(rows: Sequence[FindingRow]) -> str:
    """The rows below a head, as wide as the terminal, and an empty line around them."""
    widths = _widths(_total())
    rule = " " + "─" * (sum(widths) + _GAP * (len(widths) - 1) + 1)
    lines = ["", *_lines(("", "Where", "Rule", "Works"), widths), rule]
    for row in rows:
        first, *others = _lines(row, widths)
        lines += [first.replace(row.severity, click.style(row.severity, _COLOURS.get(row.severity)), 1), *others]
    return "\n".join([*lines, ""])


@cache
def _total() -> int:
    return max(_NARROWEST, shutil.get_terminal_size((_WIDTH, 24)).columns) if sys.stdout.isatty() else _WIDTH


@cache
def _widths(total: int) -> tuple[int, ...]:
    """The widths of the columns; what is left after the first is shared out."""
    room = total - 2 - _FIRST - _GAP * len(_SHARES)
    return (_FIRST, *(room * share // sum(_SHARES) for share in _SHARES))


def _lines(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    folded = [_folded(cell, width) for cell, width in zip(cells, widths, strict=True)]
    for parts in zip_longest(*folded, fillvalue=""):
        yield (" " + (" " * _GAP).join(part.ljust(width) for part, width in zip(parts, widths, strict=True))).rstrip()


@cache
def _folded(cell: str, width: int) -> list[str]:
    """The lines of a cell; a word that is too long is cut."""
    return [part for line in cell.splitlines() for part in _wrapped(line, width)] or [""]


def _wrapped(line: str, width: int) -> list[str]:
    if len(line) <= width and line.isprintable() and line == line.strip():
        return [line]  # most are, and textwrap takes a while to see it
    return textwrap.wrap(line, width, break_on_hyphens=False) or [""]
