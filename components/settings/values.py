"""What single values of the settings must be: names, sizes, references to volumes.

Each function takes the value as it is written, and returns it as the settings have it. For a value
that breaks the rule it raises PydanticCustomError, with a rule and a value that works where there
is more to say than the field's description and example do.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from pydantic_core import PydanticCustomError

from components.kinds import KINDS
from components.kube.quantity import Size, SizeError
from components.provisioners import PROVISIONERS, Provisioner, shown
from components.settings.problems import TRUTHS, nearest

# RFC 1123 labels as Kubernetes checks them; beginning with a letter, because a Service of that name
# must (RFC 1035).
_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LONGEST_LABEL = 63

# A StatefulSet puts `<name>-<hash of ten characters>` into a label of its pods, which ends at 63
# (kubernetes#64023). The claim's name, `data-<service>-<ordinal>`, then stays within 63 as well.
LONGEST_SERVICE = LONGEST_LABEL - 11

# No rule of Kubernetes: each replica is a claim and a resource of the stack, and a slip of the
# finger must not make a million of them.
MOST_REPLICAS = 1000

MOST_RESTORES = 10  # no rule of Kubernetes: room for restores is for a time, and counts against nothing

LARGEST_RUN = 10**9  # no rule of anything: it stays a whole number on its way through JSON and YAML

# How the setting `adopt` names a volume. A PersistentVolume's name is a DNS subdomain (RFC 1123).
NEW_VOLUME = "new"
VOLUME_REFERENCE_RULE = (
    "an old volume: the name of a PersistentVolume, an absolute path on its node, an EBS volume (vol-…@<size> or "
    "aws://<zone>/vol-…@<size>), a disk of Google Cloud (projects/…/disks/…@<size>), or `new` for an empty one"
)
_SIZE_OF_DISK = "(@[1-9][0-9]{0,9}[MGT]i)?"
_VOLUME_REFERENCES = (
    re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"),
    re.compile(r"(/(?!\.{1,2}(/|$))[^/\x00-\x1f]+)+"),
    re.compile(rf"(aws://[a-z0-9-]+/)?vol-[0-9a-f]+{_SIZE_OF_DISK}"),
    re.compile(rf"projects/[^/\s]+/(zones|regions)/[^/\s]+/disks/[^/\s@]+{_SIZE_OF_DISK}"),
)

# The name of a stack becomes the value of the label app.kubernetes.io/instance; Pulumi itself
# allows more.
_STACK_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def stack_name_problem(name: str) -> tuple[str, str] | None:
    """The rule that the name of a stack breaks, and a name that works; None for a good one."""
    if _STACK_NAME.fullmatch(name):
        return None
    rule = "a stack's name becomes a Kubernetes label: at most 63 letters, digits, `-`, `_`, `.`, a letter or digit at both ends"
    return rule, re.sub(r"^[^A-Za-z0-9]+", "", name)[:LONGEST_LABEL].rstrip("-_.") or "dev"


def label_problem(name: str, longest: int = LONGEST_LABEL) -> tuple[str, str] | None:
    """The rule that `name` breaks as the first part of Kubernetes names, and the nearest name that
    works; None for a good one.
    """
    if _LABEL.fullmatch(name) and len(name) <= longest:
        return None
    nearest_label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    nearest_label = re.sub(r"^[0-9-]+", "", nearest_label)[:longest].rstrip("-") or "my-name"
    return (
        f"a name is lower-case letters, digits and hyphens, begins with a letter, ends with a letter or digit, at most {longest} long",
        nearest_label,
    )


def is_volume_reference(text: str) -> bool:
    """Whether `text` has one of the forms that the setting `adopt` takes."""
    return any(form.fullmatch(text) for form in _VOLUME_REFERENCES)


def split_volume_reference(text: str) -> tuple[str, str]:
    """A value of the setting `adopt` as the volume and its size, such as `6Gi`.

    The size is empty where there is none: only a disk that is named by its handle has one.
    """
    volume, _, size = ("", "", "") if text.startswith("/") else text.partition("@")
    return volume or text, size


def provisioner(name: object) -> Provisioner[Any]:
    """The provisioner that has this name."""
    if isinstance(name, Provisioner):
        return name
    require(isinstance(name, str) and name in PROVISIONERS, works=nearest(str(name), PROVISIONERS))
    return PROVISIONERS[str(name)]


def kind(name: object) -> str:
    """The name of a kind of tiers."""
    require(isinstance(name, str) and name in KINDS, works=nearest(str(name), KINDS))
    return str(name)


def switch(text: object) -> bool:
    """True or false, as Pulumi hands a top-level one to the program: as a text."""
    require(text in ("true", "false", True, False), works=TRUTHS.get(str(text).strip('"').lower(), ""))
    return text in ("true", True)


def printable_name(name: str) -> str:
    """A name without a space at either end, and without characters that can't be seen."""
    require(bool(name) and name == name.strip() and name.isprintable())
    return name


def namespace_name(name: str) -> str:
    """The name of a namespace that isn't Kubernetes' own."""
    problem = label_problem(name)
    if problem:
        require(False, *problem)
    reserved = name == "default" or name.startswith("kube-")
    require(not reserved, "`default` and `kube-…` are Kubernetes' own; the claims get a namespace of their own", "data")
    return name


def size(value: object) -> Size:
    """A size with its unit."""
    if isinstance(value, Size):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        return Size.parse(text)
    except SizeError as problem:
        raise _broken(problem.rule, problem.works) from None


def replicas(number: int) -> int:
    """How many volumes a service gets."""
    require(1 <= number <= MOST_REPLICAS, works="1" if number < 1 else str(MOST_REPLICAS))
    return number


def restores(number: int) -> int:
    """For how many restored copies of a service's volumes there is room."""
    require(0 <= number <= MOST_RESTORES, works="0" if number < 0 else str(MOST_RESTORES))
    return number


def image(reference: str) -> str:
    """A reference to an image: nothing but that a container runtime could take it."""
    require(bool(reference) and reference.isascii() and reference.isprintable() and " " not in reference and reference[0].isalnum())
    return reference


def run(number: int) -> int:
    """A number of the canaries' run."""
    require(1 <= number <= LARGEST_RUN, works="1" if number < 1 else str(LARGEST_RUN))
    return number


def limit(number: float) -> float:
    """A limit of the canary's figures."""
    require(math.isfinite(number) and number > 0)
    return number


def volumes_by_ordinal(volumes: object) -> object:
    """The mapping from ordinals to old volumes of one service."""
    if not isinstance(volumes, dict):
        raise _broken("a mapping from an ordinal to an old volume", f"{{0: {shown(volumes).strip(chr(34))}}}")
    return volumes


def volume_reference(text: object) -> str:
    """An old volume, as the setting `adopt` names it."""
    good = isinstance(text, str) and is_volume_reference(text)
    short = text.rstrip("/") if isinstance(text, str) else ""
    require(good, VOLUME_REFERENCE_RULE, short if is_volume_reference(short) else "pvc-…")
    return str(text)


def require(holds: bool, rule: str = "", works: str = "") -> None:
    """Raise for a value that breaks its rule.

    Without `rule` and `works` the field's description and example are shown.
    """
    if not holds:
        raise _broken(rule, works)


def _broken(rule: str, works: str) -> PydanticCustomError:
    return PydanticCustomError("rule", "rule", {"rule": rule, "works": works})
