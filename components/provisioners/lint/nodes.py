"""YAML as Kubernetes reads it, with the place of everything in the text.

A text is read once, event by event and without recursion, so that what is hostile in it ends at a
bound: nesting, the number of its parts, and what its aliases stand for together.
Plain words are what sigs.k8s.io/yaml makes of them (goyaml.v2/resolve.go), which kubectl reads
with: `yes` and `on` are true, `010` is 8, a date is a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

# Custom resource definitions are nested 40 deep at most; Go's own bound is 10,000.
DEEPEST = 200
# 2,000 classes as kubectl prints them; what aliases stand for counts, as it does for Go.
MOST_NODES = 100_000
_MOST_DIRECTIVES = 16

# A key's way from the top of an object, such as ("parameters", "iops") or ("mountOptions", 0).
Place = tuple[str | int, ...]

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_WHOLE = re.compile(r"[+-]?(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>0|[1-9][0-9]*))", re.ASCII)
_FRACTION = re.compile(r"[+-]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][+-]?[0-9]+)?|[+-]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", re.ASCII)
_NO_DIGITS = re.compile("[iInN]")
_LONGEST_NUMBER = 400  # characters; no number of a manifest is longer, and Python bounds them as well
_STR, _MERGE = "tag:yaml.org,2002:str", "<<"


class ManifestError(ValueError):
    """A text that is no Kubernetes manifest; the message says why, `line` where, from 1 on."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


@dataclass(slots=True, eq=False)
class YamlNode:
    """A part of a YAML text, from `start` to `end` in characters, in `line` (from 1 on).

    `value` is the text of a scalar, the pairs of a mapping, the parts of a sequence, or the node
    that an alias stands for.
    `style` is the quote of a scalar, and "{" for a mapping or sequence in braces or brackets.
    `end` of what has neither is that of its last part.
    `shared` says that an alias stands for it elsewhere.
    """

    kind: str
    value: Any
    start: int
    end: int
    line: int
    column: int
    style: str = ""
    tag: str = ""
    shared: bool = False
    nodes: int = 1
    open: bool = False

    def pairs(self) -> list[tuple[YamlNode, YamlNode]]:
        """The keys and values of a mapping; none for anything else."""
        target = self.target()
        return target.value if target.kind == "mapping" else []

    def target(self) -> YamlNode:
        """What an alias stands for, or the node itself."""
        return self.value if self.kind == "alias" else self


def compose(text: str) -> Iterator[YamlNode]:
    """The documents of a YAML or JSON text. Raises ManifestError."""
    if len(re.findall("^%TAG", text, re.MULTILINE)) > _MOST_DIRECTIVES:
        raise ManifestError(f"more than {_MOST_DIRECTIVES} %TAG directives: no manifest needs one")
    composer = _Composer()
    try:
        for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            root = composer.take(event)
            if root is not None:
                yield root
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        raise ManifestError(f"not YAML: {problem.problem or problem.context}", mark.line + 1 if mark else 0) from None
    except yaml.reader.ReaderError as problem:
        line = text.count("\n", 0, problem.position) + 1 if isinstance(problem.position, int) else 0
        character = problem.character if isinstance(problem.character, int) else ord(str(problem.character)[:1] or "\0")
        raise ManifestError(f"not YAML: the character U+{character:04X} is not allowed in it", line) from None
    except (yaml.YAMLError, ValueError) as problem:
        raise problem if isinstance(problem, ManifestError) else ManifestError(f"not YAML: {' '.join(str(problem).split())}") from None


class _Composer:
    """Puts the events of a parser together to nodes."""

    def __init__(self) -> None:
        self.stack: list[YamlNode] = []
        self.keys: list[YamlNode | None] = []
        self.anchors: dict[str, YamlNode] = {}
        self.count = 0

    def take(self, event: yaml.Event) -> YamlNode | None:
        """One event; the document where it was its last node."""
        mark, last = event.start_mark, event.end_mark
        assert mark is not None
        assert last is not None
        line = mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            node = YamlNode("scalar", event.value, mark.index, last.index, line, mark.column, event.style or "", event.tag or "")
            return self._add(node, event.anchor)
        if isinstance(event, yaml.CollectionStartEvent):
            what = "mapping" if isinstance(event, yaml.MappingStartEvent) else "sequence"
            self._open(
                YamlNode(what, [], mark.index, last.index, line, mark.column, "{" if event.flow_style else "", open=True), event.anchor
            )
        elif isinstance(event, yaml.CollectionEndEvent):
            return self._close(last.index)
        elif isinstance(event, yaml.AliasEvent):
            target = self._meant(str(event.anchor), line)
            return self._add(YamlNode("alias", target, mark.index, last.index, line, mark.column, nodes=target.nodes), None)
        elif isinstance(event, yaml.DocumentStartEvent):
            self.anchors = {}
            self._count(line)
        return None

    def _count(self, line: int, more: int = 1) -> None:
        self.count += more
        if self.count > MOST_NODES:
            raise ManifestError(f"more than {MOST_NODES} keys and values, with what aliases stand for: divide the file", line)

    def _meant(self, anchor: str, line: int) -> YamlNode:
        """What an alias stands for; all that is in it counts once more."""
        target = self.anchors.get(anchor)
        if target is None:
            raise ManifestError(f"not YAML: the alias *{anchor} stands for nothing above it", line)
        if target.open:
            raise ManifestError(f"the alias *{anchor} is a part of what it stands for, which would have no end", line)
        target.shared = True
        self._count(line, target.nodes - 1)
        return target

    def _open(self, node: YamlNode, anchor: str | None) -> None:
        if len(self.stack) >= DEEPEST:
            raise ManifestError(f"nested more than {DEEPEST} deep: no manifest is", node.line)
        self._count(node.line)
        if anchor:
            self.anchors[anchor] = node
        self.stack.append(node)
        self.keys.append(None)

    def _close(self, end: int) -> YamlNode | None:
        node = self.stack.pop()
        self.keys.pop()
        node.open = False
        if node.style:
            node.end = end
        elif node.value:
            last = node.value[-1]
            node.end = last[1].end if node.kind == "mapping" else last.end
        return self._place(node)

    def _add(self, node: YamlNode, anchor: str | None) -> YamlNode | None:
        self._count(node.line)
        if anchor:
            self.anchors[anchor] = node
        return self._place(node)

    def _place(self, node: YamlNode) -> YamlNode | None:
        if not self.stack:
            return node
        parent = self.stack[-1]
        parent.nodes += node.nodes
        if parent.kind == "sequence":
            parent.value.append(node)
        elif self.keys[-1] is None:
            self.keys[-1] = node
        else:
            key, self.keys[-1] = self.keys[-1], None
            if node.kind == "scalar" and node.start == node.end:  # nothing, which YAML puts anywhere
                node.start = node.end = key.end
                node.line = key.line
            parent.value.append((key, node))
        return None


@dataclass
class Twice:
    """A key that is in one mapping twice: `first` and `last` are its nodes, `place` its way."""

    place: Place
    first: YamlNode
    last: YamlNode


@dataclass
class Plain:
    """Turns nodes into Python's values, as JSON has them; `twice` are keys that came again."""

    twice: list[Twice] = field(default_factory=list)

    def of(self, node: YamlNode, place: Place = ()) -> object:
        """The value of a node; of a key that is there twice the last, as kubectl has it."""
        if node.kind == "alias":
            node = node.value
        if node.kind == "scalar":
            return scalar(node)
        if node.kind == "sequence":
            return [self.of(each, (*place, number)) for number, each in enumerate(node.value)]
        values: dict[str, Any] = {}
        seen: dict[str, YamlNode] = {}
        for key, value in node.value:
            name = key_text(key)
            if name == _MERGE and not key.style:
                self._merge(value, values, seen, place)
                continue
            if name in seen:
                self.twice.append(Twice((*place, name), seen[name], key))
            seen[name] = key
            values[name] = self.of(value, (*place, name))
        return values

    def _merge(self, node: YamlNode, values: dict[str, Any], seen: dict[str, YamlNode], place: Place) -> None:
        """What `<<` brings along; it never replaces a key of the mapping itself."""
        target = node.target()
        for each in reversed(target.value) if target.kind == "sequence" else [target]:
            merged = self.of(each, place)
            if not isinstance(merged, dict):
                raise ManifestError("not YAML: `<<` takes a mapping, or a list of them", node.line)
            values.update({key: value for key, value in merged.items() if key not in seen})


def key_text(key: YamlNode) -> str:
    """A key as JSON has it: a text, also where YAML reads a number, or true or false."""
    target = key.target()
    if target.kind != "scalar":
        raise ManifestError("a key that is a list or a mapping: kubectl refuses the file", key.line)
    value = target.value if target.style else scalar(target)
    if value is None:
        raise ManifestError("an empty key: kubectl refuses the file", key.line)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def scalar(node: YamlNode) -> object:
    """A scalar as Kubernetes reads it."""
    text: str = node.value
    if node.style or node.tag == _STR or (node.tag and not node.tag.startswith("tag:yaml.org,2002:")):
        return text
    return plain(text)


def plain(text: str) -> object:
    """What a word without quotes is: true, false, nothing, a number, else the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > _LONGEST_NUMBER:
        return text
    digits = text.replace("_", "")
    if match := _WHOLE.fullmatch(digits):
        number = next(int(found, base) for name, base in (("hex", 16), ("bin", 2), ("oct", 8), ("dec", 10)) if (found := match[name]))
        return -number if text[0] == "-" else number
    if _FRACTION.fullmatch(digits):
        fraction = float(digits.replace(".", "") if _NO_DIGITS.search(digits) else digits)
        return int(fraction) if fraction.is_integer() else fraction
    return text


def find(root: YamlNode, place: Place) -> tuple[YamlNode | None, YamlNode, bool] | None:
    """The key and the value at `place`, and whether an alias or a merge leads to it.

    None where nothing is there. The key of a part of a sequence, and of the root, is None.
    """
    key: YamlNode | None = None
    node, shared = root, False
    for name in place:
        shared = shared or node.kind == "alias" or node.target().shared
        target = node.target()
        if target.kind == "sequence" and isinstance(name, int) and name < len(target.value):
            key, node = None, target.value[name]
            continue
        found = [(each, value) for each, value in target.pairs() if key_text(each) == name]
        if not found:
            merged = [value for each, value in target.pairs() if key_text(each) == _MERGE and not each.style]
            sources = [part for value in merged for part in (value.target().value if value.target().kind == "sequence" else [value])]
            found = [pair for source in sources for pair in source.target().pairs() if key_text(pair[0]) == name][:1]
            shared = True
        if not found:
            return None
        key, node = found[-1]
    return key, node, shared or node.target().shared
