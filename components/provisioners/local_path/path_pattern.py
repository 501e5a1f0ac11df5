"""What local-path-provisioner makes of a pathPattern: a volume's folder, below the node's path.

Source: provisioner.go, pathFromPattern, of local-path-provisioner 0.0.33 and newer.
It executes the pattern as a template of Go, with the volume's name and the claim's metadata.
The result has to begin with the claim's namespace and name, as folders.
tests/oracles/path-pattern does the same, with Go itself.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from itertools import islice, product, takewhile
from typing import NamedTuple

from components.provisioners.go_template import TemplateError, parse
from components.provisioners.go_template.lexer import Token, tokens

_NAMESPACE, _NAME, _VOLUME = "PVC.Namespace", "PVC.Name", "PVName"
# Of metav1.ObjectMeta: what can be asked further, and what is a value of its own.
_MAPS = ("Labels", "Annotations")
_VALUES = ("Name", "GenerateName", "Namespace", "SelfLink", "UID", "ResourceVersion", "Generation", "OwnerReferences", "Finalizers")
_OTHERS = ("CreationTimestamp", "DeletionTimestamp", "DeletionGracePeriodSeconds", "ManagedFields")
_MOST_GLOBS = 64  # of six such pieces
_OBJECT_NAME = r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?"


class _Part(str):
    """A piece of a path that isn't known as a text: the name of a field, or empty for anything."""


class PathPattern(NamedTuple):
    """A pattern that Go can execute, as the pieces of the path: texts, and fields of the claim.

    What is beyond this project's reading, such as an `if`, is a piece without a name.
    """

    pieces: tuple[str, ...]

    @property
    def begins(self) -> bool | None:
        """Whether the path of every claim begins with its own namespace and name.

        None where there is no telling.
        """
        if self._beginning(rf"\0{_NAMESPACE}\0/\0{_NAME}\0/.*"):
            return True
        known = list(takewhile(lambda piece: not _unknown(piece), self.pieces))
        return None if len(known) < len(self.pieces) and _marked(known).count("/") < 2 else False

    @property
    def for_some(self) -> bool:
        """Whether it does so for claims of one namespace, or of one name, that is written in it."""
        namespace, name = rf"(\0{_NAMESPACE}\0|{_OBJECT_NAME})", rf"(\0{_NAME}\0|{_OBJECT_NAME})"
        return self._beginning(rf"{namespace}/{name}/.*")

    @property
    def climbs(self) -> bool:
        """Whether a part of the path is `..`, which leads out of the claim's own folder."""
        return ".." in _marked(self.pieces).split("/")

    def globs(self, namespace: str, name: str) -> list[str]:
        """The paths that it may have made for a claim, as patterns of files.

        A piece that isn't known may be nothing, and with it a whole part of the path.
        """
        known = {_NAMESPACE: [glob.escape(namespace)], _NAME: [glob.escape(name)], "": ["*", ""]}
        choices = [known.get(each, ["*"]) if isinstance(each, _Part) else [glob.escape(each)] for each in self.pieces]
        made = ("".join(parts) for parts in islice(product(*choices), _MOST_GLOBS))
        return list(dict.fromkeys(re.sub("/+", "/", each).strip("/") for each in made))

    def _beginning(self, pattern: str) -> bool:
        return re.fullmatch(pattern, _marked(self.pieces), re.DOTALL) is not None


def read_pattern(text: str) -> PathPattern:
    """The pattern; raises TemplateError for one that Go refuses, or fails on at every claim."""
    found = parse(text)
    for field in found.fields:
        if not _is_field(field):
            raise TemplateError(
                f"no such field .{field}; there are .PVName, .PVC.Namespace, .PVC.Name and the rest of the claim's metadata"
            )
    for name in found.undefined:
        raise TemplateError(f"it uses a template {name}, and defines none")
    for operand in found.given:
        raise TemplateError(f"`{operand}` is no function, and takes no arguments")
    return PathPattern(tuple(_pieces(tokens(text))))


def _is_field(path: str) -> bool:
    first, *rest = path.split(".")
    if first != "PVC":
        return path == _VOLUME
    if not rest:
        return True
    if rest[0] in _MAPS:
        return True  # a label that the claim doesn't have is `<no value>`, and so is a field of it
    return (rest[0] in _VALUES and len(rest) == 1) or rest[0] in _OTHERS


def _pieces(read: list[Token]) -> Iterator[str]:
    """The texts and the actions, in their order, up to the first that isn't read here."""
    at = 0
    while read[at].kind != "end of text":
        if read[at].kind == "text":
            yield read[at].text
            at += 1
            continue
        end = next(number for number in range(at, len(read)) if read[number].kind == "}}")
        words = [token for token in read[at + 1 : end] if token.kind != "space"]
        path = "".join(token.text for token in words).removeprefix("$").removeprefix(".")
        simple = words and words[0].text != "." and all(token.kind == "field" for token in words[words[0].text == "$" :])
        if not simple:
            yield _Part()
            if words and words[0].kind in ("if", "with", "range", "block", "define", "template"):
                return
        else:
            yield _Part(path)
        at = end + 1


def _unknown(piece: str) -> bool:
    return isinstance(piece, _Part) and piece not in (_NAMESPACE, _NAME, _VOLUME)


def _marked(pieces: object) -> str:
    """The pieces as one text, in which fields stand between zero bytes."""
    assert isinstance(pieces, list | tuple)
    return "".join(f"\0{piece}\0" if isinstance(piece, _Part) else piece for piece in pieces)
