"""Edits of a YAML or JSON text at the places that its nodes say; all else stays as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from components.provisioners.lint.mending import Edit
from components.provisioners.lint.nodes import Place, YamlNode, find, key_text, plain

# What YAML takes for a text without quotes, wherever it stands.
_PLAIN = re.compile(r"[A-Za-z0-9_/.](?:[A-Za-z0-9_/.+@=-]|:(?=[A-Za-z0-9_/.+@=-]))*")


class CannotEdit(ValueError):
    """An edit that would change more than its place: an alias leads there."""


class Splice(NamedTuple):
    """`text` in place of what is from `start` to `end`, in characters."""

    start: int
    end: int
    text: str

    def touches(self, other: Splice) -> bool:
        """Whether the two can't both be made."""
        return self.start <= other.end and other.start <= self.end


def spliced(text: str, changes: Sequence[Splice]) -> str:
    """The text with all changes."""
    for each in sorted(changes, key=lambda change: (change.start, change.end), reverse=True):
        text = text[: each.start] + each.text + text[each.end :]
    return text


def splices(text: str, root: YamlNode, edits: Sequence[Edit]) -> list[Splice]:
    """The changes of the text that make the edits. Raises CannotEdit."""
    made: list[Splice] = []
    removed = [edit.place for edit in edits if edit.action == "remove"]
    for edit in edits:
        if edit.action == "remove":
            place = _emptied(root, edit.place, removed)
            new = [_removal(text, root, place)]
        elif edit.action == "rename":
            new = [_renaming(root, edit)]
        else:
            new = [_putting(text, root, edit)]
        made.extend(each for each in new if each not in made)
    return made


def _target(root: YamlNode, place: Place) -> tuple[YamlNode | None, YamlNode] | None:
    """The key and value at a place of its own; raises CannotEdit where an alias leads to it."""
    found = find(root, place)
    if found is None:
        return None
    key, value, shared = found
    if shared:
        raise CannotEdit(f"an anchor that others use: {place}")
    return key, value


def _renaming(root: YamlNode, edit: Edit) -> Splice:
    found = _target(root, edit.place)
    if found is None or found[0] is None:
        raise CannotEdit(f"nothing to rename at {edit.place}")
    key = found[0]
    return Splice(key.start, key.end, _scalar(str(edit.value), key.style))


def _putting(text: str, root: YamlNode, edit: Edit) -> Splice:
    found = _target(root, edit.place)
    if found is None:
        return _insertion(text, root, edit.place, edit.value)
    key, node = found
    old = node.target() if node.kind == "alias" else node
    written = _value(edit.value, old.style if old.kind == "scalar" else _json_style(root))
    if node.start == node.end and key is not None:  # nothing is written after the key
        colon = text.index(":", key.end) + 1
        return Splice(colon, colon, f" {written}")
    end = _line_end(text, node.start, node.end)
    tail = "\n" if node.kind == "scalar" and node.style in ("|", ">") and text[node.start : end].endswith("\n") else ""
    if node.kind in ("mapping", "sequence") and not node.style and key is not None and key.line != node.line:
        return Splice(text.index(":", key.end) + 1, end, f" {written}")
    return Splice(node.start, end, written + tail)


def _line_end(text: str, start: int, end: int) -> int:
    """The end of what is written, without the blanks and line ends that YAML counts to it."""
    return start + len(text[start:end].rstrip()) if end > start else end


def _insertion(text: str, root: YamlNode, place: Place, value: object) -> Splice:
    """A new key in the mapping that is above it, which is made where it is missing too."""
    above = _target(root, place[:-1]) if place[:-1] else (None, root)
    name = place[-1]
    if above is None:
        return _insertion(text, root, place[:-1], {name: value})
    node = above[1]
    if node.kind != "mapping":
        if node.kind != "scalar" or node.value not in ("", "~", "null", "Null", "NULL"):
            raise CannotEdit(f"no mapping to add to: {place[:-1]}")
        return _putting(text, root, Edit(place[:-1], "put", {name: value}))
    style = '"' if node.value and node.value[0][0].style == '"' and node.style else ""
    entry = f"{_scalar(str(name), style)}: {_value(value, style)}"
    if not node.value:
        return Splice(node.start, node.end, f"{{{entry}}}")
    first = node.value[0][0]
    if node.style:
        gap = text[node.start + 1 : first.start]
        return Splice(first.start, first.start, f"{entry},{gap if chr(10) in gap else ' '}")
    last = _leaf(node)
    if last.style not in ("|", ">") and last.end > last.start and "\n" not in text[last.start : last.end].rstrip():
        at = _end_of_line(text, _line_end(text, last.start, last.end))
        return Splice(at, at, f"\n{' ' * first.column}{entry}")
    return Splice(first.start, first.start, f"{entry}\n{' ' * first.column}")


def _leaf(node: YamlNode) -> YamlNode:
    """What is written last in a mapping or list without braces."""
    while node.kind in ("mapping", "sequence") and not node.style and node.value:
        node = node.value[-1][1] if node.kind == "mapping" else node.value[-1]
    return node


def _end_of_line(text: str, position: int) -> int:
    end = text.find("\n", position)
    end = len(text) if end < 0 else end
    return end - 1 if end > position and text[end - 1] == "\r" else end


def _emptied(root: YamlNode, place: Place, removed: Sequence[Place]) -> Place:
    """The place, or what is around it where nothing else is in that."""
    while len(place) > 1:
        above = find(root, place[:-1])
        if above is None:
            break
        parts = above[1].target().value
        inside = {each for each in removed if each[:-1] == place[:-1]} | {place}
        if not isinstance(parts, list) or len(parts) > len(inside) or place[:-1] == ("metadata",):
            break
        place = place[:-1]
    return place


def _removal(text: str, root: YamlNode, place: Place) -> Splice:
    """An entry of a mapping or sequence; of a key that is there twice, the first."""
    above = _target(root, place[:-1]) if place[:-1] else (None, root)
    if above is None:
        raise CannotEdit(f"nothing at {place}")
    node = above[1]
    if node.kind == "mapping":
        numbers = [number for number, (key, _) in enumerate(node.value) if key_text(key) == place[-1]]
        spans = [(key.start, max(key.end, _line_end(text, value.start, value.end))) for key, value in node.value]
    else:
        numbers = [number for number in range(len(node.value)) if number == place[-1]]
        spans = [(each.start, _line_end(text, each.start, each.end)) for each in node.value]
    if not numbers:
        raise CannotEdit(f"nothing at {place}")
    return _in_braces(node, spans, numbers[0]) if node.style else _in_lines(text, node, spans, numbers[0])


def _in_braces(node: YamlNode, spans: Sequence[tuple[int, int]], number: int) -> Splice:
    if len(spans) == 1:
        return Splice(node.start + 1, node.end - 1, "")
    if number + 1 < len(spans):
        return Splice(spans[number][0], spans[number + 1][0], "")
    return Splice(spans[number - 1][1], spans[number][1], "")


def _in_lines(text: str, node: YamlNode, spans: Sequence[tuple[int, int]], number: int) -> Splice:
    """Whole lines, with a comment at the end of the last; of `- a: 1` the dash stays."""
    start, end = spans[number]
    begin = text.rfind("\n", 0, start) + 1
    if node.kind == "mapping" and text[begin:start].strip():
        if number + 1 < len(spans):
            return Splice(start, spans[number + 1][0], "")
        return Splice(start, end, "{}")
    if node.kind == "sequence" and text[begin:start].strip() != "-":
        raise CannotEdit("a list within a list, in one line")
    after = _end_of_line(text, end)
    after = text.find("\n", after)
    return Splice(begin, len(text) if after < 0 else after + 1, "")


def _json_style(root: YamlNode) -> str:
    return '"' if root.style and root.value and root.value[0][0].style == '"' else ""


def _value(value: object, style: str) -> str:
    """A value in one line, as YAML, or as JSON where `style` is its quote."""
    if isinstance(value, Mapping):
        pairs = (f"{_scalar(str(key), style)}: {_value(each, style)}" for key, each in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(each, style) for each in value)}]"
    if isinstance(value, str):
        return _scalar(value, style)
    return json.dumps(value, default=str)


def _scalar(text: str, style: str) -> str:
    """A text with the quotes that it had, or needs."""
    if style == "'" and text.isprintable():
        doubled = text.replace("'", "''")
        return f"'{doubled}'"
    if style != '"' and _PLAIN.fullmatch(text) and plain(text) == text:
        return text
    return json.dumps(text, ensure_ascii=False)
