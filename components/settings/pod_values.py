"""What the values of a pod must be, by the rules of Kubernetes' API and of Pod Security.

Each function takes the value as it is written, and returns it as the settings have it. For a value
that breaks the rule it raises PydanticCustomError (see values.py).
The rules are those of apimachinery's `validation` package and of `pkg/apis/core/validation` in
Kubernetes 1.34, where no other source is named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from components.kube import labels
from components.kube.quantity import number_of
from components.provisioners import shown
from components.settings.problems import nearest
from components.settings.values import require

_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
KEY_RULE = "a key is at most 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends; before it may be a DNS name and a `/`"
LABEL_RULE = "the value of a label is empty, or at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends"
SUBDOMAIN_RULE = "lower-case letters, digits, `-` and `.`, with a letter or digit at both ends of each part, at most 253 long"
QUANTITY_RULE = "a quantity of Kubernetes, not below nothing, such as `500m` or `128Mi`"

# The labels by which the canary's pods are found and removed again.
OWN_LABELS = (labels.PART_OF, labels.INSTANCE, labels.NAME, labels.COMPONENT, labels.MANAGED_BY)
OWN_PREFIX = f"{labels.PROJECT}/"

# Resources without a domain in their names that a container may have, besides `hugepages-<size>`.
_RESOURCES = ("cpu", "memory", "ephemeral-storage")

OS = "kubernetes.io/os"
LARGEST_USER = 2**31 - 1
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_ANNOTATION_BYTES = 256 * 1024  # of all annotations of an object together

# The annotation by which an AppArmor profile is chosen, with the container's name after it. Pod
# Security takes the values that begin so (pod-security-admission, policy/check_appArmorProfile.go).
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_APPARMOR_VALUES = ("runtime/default", "localhost/")


def key(text: str) -> str:
    """The key of a label, an annotation, a taint or a resource."""
    prefix, slash, name = text.rpartition("/")
    good = _NAME.fullmatch(name) and (_SUBDOMAIN.fullmatch(prefix) if slash else True)
    require(bool(good), KEY_RULE, "example.com/key")
    return text


def own_label(text: str) -> str:
    """The key of a label that isn't the project's own."""
    key(text)
    is_own = text in OWN_LABELS or text.startswith(OWN_PREFIX)
    own = f"{', '.join(OWN_LABELS)} and {OWN_PREFIX}…"
    require(not is_own, f"one of the project's own labels, by which the canary's pods are found: {own}", "example.com/team")
    return text


def own_annotation(text: str) -> str:
    """The key of an annotation that isn't the project's own."""
    key(text)
    require(not text.startswith(OWN_PREFIX), f"the project keeps annotations that begin with `{OWN_PREFIX}` for itself", "example.com/note")
    return text


def label(text: str) -> str:
    """The value of a label."""
    require(text == "" or bool(_NAME.fullmatch(text)), LABEL_RULE, _nearest_label(text))
    return text


def admitted(found: dict[str, str]) -> dict[str, str]:
    """All annotations of a pod that Pod Security admits."""
    for name, value in found.items():
        if name.startswith(_APPARMOR):
            require(
                value in ("", _APPARMOR_VALUES[0]) or value.startswith(_APPARMOR_VALUES[1]),
                f"Pod Security `restricted` takes `runtime/default` or `localhost/…` for {name}",
                json.dumps({**found, name: _APPARMOR_VALUES[0]}),
            )
    size = sum(len(name.encode()) + len(value.encode()) for name, value in found.items())
    require(size <= _ANNOTATION_BYTES, "all annotations together have at most 256 KiB", "{}")
    return found


def node_selector(found: dict[str, str]) -> dict[str, str]:
    """The labels of nodes that run Linux: the probe's image and the file systems are for it."""
    system = found.get(OS, "linux")
    works = json.dumps({**found, OS: "linux"})
    require(system == "linux", f"the canary's pods run on Linux nodes alone, so `{OS}` is `linux` or left out", works)
    return found


def subdomain(text: str) -> str:
    """The name of a Secret, a ServiceAccount or a PriorityClass."""
    made = re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")
    require(bool(_SUBDOMAIN.fullmatch(text)), SUBDOMAIN_RULE, made if _SUBDOMAIN.fullmatch(made) else "")
    return text


def secrets(value: object) -> object:
    """References to Secrets; the name of one alone stands for it."""
    return [{"name": each} if isinstance(each, str) else each for each in value] if isinstance(value, list) else value


def user(number: int | None) -> int | None:
    """The number of a user that isn't root."""
    if number is not None:
        require(1 <= number <= LARGEST_USER, works="65532" if number < 1 else str(LARGEST_USER))
    return number


def resource(text: str) -> str:
    """The name of a resource that a container can ask for."""
    key(text)
    known = "/" in text or text in _RESOURCES or text.startswith("hugepages-")
    rule = f"resources are {', '.join(_RESOURCES)}, hugepages-<size>, or have a domain before them"
    require(known, rule, nearest(text, _RESOURCES) or ("memory" if text.startswith("mem") else "cpu"))
    return text


def quantity(value: object) -> str:
    """An amount of a resource; YAML may read it as a number."""
    text = json.dumps(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    try:
        good = isinstance(text, str) and number_of(text) >= 0
    except ValueError:
        good = False
    require(good, QUANTITY_RULE, _nearest_quantity(value))
    return str(text)


def within_limits(requests: Mapping[str, str], limits: Mapping[str, str]) -> None:
    """No request is above its limit, which the API refuses."""
    wrong = [name for name, text in requests.items() if name in limits and _above(text, limits[name])]
    if wrong:
        mended = {**requests, **{name: limits[name] for name in wrong}}
        says = " and ".join(f"{name} {requests[name]} is above {limits[name]}" for name in wrong)
        require(False, f"a request is at most its limit: {says}", json.dumps({"requests": mended, "limits": limits}))


def toleration(written: Mapping[str, Any]) -> None:
    """A toleration, with the keys that it has in the settings, that the API takes."""
    key, value, exists = written.get("key"), written.get("value"), written.get("operator") == "Exists"

    def must(holds: bool, rule: str, **changes: Any) -> None:  # noqa: ANN401 - whatever the setting has
        mended = {name: value for name, value in {**written, **changes}.items() if value is not None}
        require(holds, rule, json.dumps(mended))

    every = "without a `key` the operator is Exists and there is no `value`"
    must(bool(key) or (exists and not value), every, key=None, operator="Exists", value=None)
    must(not (exists and value), "with the operator Exists there is no `value`", value=None)
    untimed = written.get("tolerationSeconds") is None
    must(untimed or written.get("effect") == "NoExecute", "`tolerationSeconds` is for the effect NoExecute alone", tolerationSeconds=None)


def _above(one: str, other: str) -> bool:
    return number_of(one) > number_of(other)


def _nearest_label(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+$", "", re.sub(r"[^-A-Za-z0-9_.]+", "-", text).lstrip("-_.")[:63]) or '""'


def _nearest_quantity(value: object) -> str:
    """`128Mi` of `128MB` and `128 mi`, `500m` of anything else."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt])i?b?\s*", shown(value).strip('"').lower())
    return f"{match[1]}{match[2].upper()}i" if match else "500m"
