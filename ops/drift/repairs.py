"""What a person does about a field that is not as it was declared.

`pulumi up --refresh` writes what it finds into the state, and then what is declared into the
cluster. It knows of no field that the program doesn't declare, so it takes none away, and it can't
change what Kubernetes doesn't let change.
"""

from __future__ import annotations

from components.kube.classes import REPLACING
from components.kube.expansion import capacity_of
from components.kube.quantity import bytes_of
from components.preflight import claim_rules
from ops.drift.objects import CLAIM, Json, Name

AGAIN = "`pulumi up --refresh` puts it back"
ANEW = "`pulumi up --refresh` makes it anew"
_NO_CLAIM = "no claim is touched"


def of_field(name: Name, path: tuple[str, ...], wanted: object, found: object, live: Json) -> str:
    """What to do about a declared field that is otherwise."""
    if name.kind == CLAIM and path[0] == "spec":
        return _of_claim(name, path, wanted, found, live)
    if path[0] in REPLACING.get(name.kind, ()):
        return f"{AGAIN}: the class is made anew, {_NO_CLAIM}"
    return AGAIN


def of_added(name: Name) -> str:
    """What to do about a value where none is declared."""
    again = f"{delete(name)}, then {ANEW}"
    return f"{again}: {_NO_CLAIM}" if name.kind in REPLACING else again


def delete(name: Name) -> str:
    """The command that deletes an object."""
    return f"`kubectl{in_namespace(name)} delete {name.kind.lower()} {name.name}`"


def in_namespace(name: Name) -> str:
    """The option of kubectl for an object's namespace; empty for an object of the whole cluster."""
    return f" -n {name.namespace}" if name.namespace else ""


def _of_claim(name: Name, path: tuple[str, ...], wanted: object, found: object, live: Json) -> str:
    """A claim's spec is fixed but for its size: another value is another claim under its name."""
    bound = bool(live["spec"].get("volumeName"))
    if ".".join(path) == claim_rules.SIZE and bound and found:
        if claim_rules.is_smaller(bytes_of(str(found)), bytes_of(str(wanted)), capacity_of(live)):
            return f"{claim_rules.SMALLER}: set the service's `size` to that, then `pulumi up --refresh`"
        return f"{AGAIN}, where its class lets it grow; else {_made_by_hand(name, bound)}"
    return _made_by_hand(name, bound)


def _made_by_hand(name: Name, bound: bool) -> str:
    data = "save what is in it, stop its pods, " if bound else ""
    return f"it is another claim under its name: {data}{delete(name)}, then {ANEW}"
