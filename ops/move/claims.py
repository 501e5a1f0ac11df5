"""Which claims a move is about, and what keeps it from beginning: who uses them, what they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from components.canary import objects
from components.kube import labels
from components.kube.api import Json, KubeApi
from components.kube.mounts import claims_in, claims_mounted_by
from components.kube.ownership import claim_name
from components.kube.quantity import bytes_of
from components.settings import Settings
from ops.errors import UserError
from ops.move.pods import MANAGER, MOVE, RUN, claim_path


@dataclass(frozen=True)
class ClaimSide:
    """A claim of a stack, as it is in the cluster."""

    api: KubeApi
    settings: Settings
    service: str
    ordinal: int
    claim: Json

    @property
    def name(self) -> str:
        """The claim's name."""
        return str(self.claim["metadata"]["name"])

    @property
    def uid(self) -> str:
        """The claim's UID."""
        return str(self.claim["metadata"]["uid"])

    @property
    def storage_class(self) -> str:
        """The name of its class."""
        return str(self.claim["spec"].get("storageClassName") or "")

    @property
    def is_bound(self) -> bool:
        """Whether it has a volume."""
        return is_bound(self.claim)

    @property
    def size(self) -> int:
        """Its capacity in bytes; what it asks for where it has no volume yet."""
        capacity = (self.claim.get("status") or {}).get("capacity") or {}
        return bytes_of(capacity.get("storage") or self.claim["spec"]["resources"]["requests"]["storage"])

    def __str__(self) -> str:
        return f"{self.settings.stack}: claim {self.settings.namespace.name}/{self.name}"


def is_bound(claim: Json) -> bool:
    """Whether a claim has a volume."""
    return bool((claim.get("status") or {}).get("phase") == "Bound")


def wanted(settings: Settings, service: str | None, ordinal: int | None, option: str) -> list[tuple[str, int]]:
    """The replicas of a stack that are moved: all, those of a service, or one. Raises UserError."""
    if service is not None and service not in settings.services:
        known = ", ".join(settings.services) or "none"
        raise UserError(f"--service {service}: stack {settings.stack} ({option}) has no such service.", f"Its services: {known}.")
    if ordinal is not None and service is None:
        raise UserError(f"--ordinal {ordinal}: of which service?", f"Works: --service {next(iter(settings.services), 'NAME')} --ordinal 0")
    names = [service] if service else list(settings.services)
    found = [(name, number) for name in names for number in range(settings.services[name].replicas)]
    chosen = [each for each in found if ordinal in (None, each[1])]
    if not chosen:
        raise UserError(
            f"--ordinal {ordinal}: service {service} of stack {settings.stack} ({option}) has {len(found)} replicas.",
            f"Works: 0 to {len(found) - 1}",
        )
    return chosen


def find(api: KubeApi, settings: Settings, replicas: Iterable[tuple[str, int]]) -> list[ClaimSide]:
    """The claims of these replicas. Raises UserError, with all that are missing, and ApiError."""
    found, missing = [], []
    for service, ordinal in replicas:
        name = claim_name(service, ordinal)
        claim = api.find(claim_path(settings.namespace.name, name))
        if claim is None or claim["metadata"].get("deletionTimestamp"):
            missing.append(f"{name} ({'is being deleted' if claim else 'not there'})")
        else:
            found.append(ClaimSide(api, settings, service, ordinal, claim))
    if missing:
        raise UserError(
            f"stack {settings.stack} lacks claims in namespace {settings.namespace.name} of context {api.context!r}: {', '.join(missing)}.",
            f"`pulumi up --stack {settings.stack}` makes them.",
        )
    return found


def pairs(sources: Sequence[ClaimSide], targets: Sequence[ClaimSide]) -> list[tuple[ClaimSide, ClaimSide]]:
    """Source and target of each move, by service and ordinal. Raises UserError."""
    by_replica = {(each.service, each.ordinal): each for each in targets}
    found = [(source, by_replica[source.service, source.ordinal]) for source in sources]
    same = [source for source, target in found if source.uid == target.uid]
    if same:
        raise UserError(f"{same[0]} is source and target at once.", "Name two stacks with claims of their own.")
    return found


def refusals(side: ClaimSide, *, writes: bool, move: str = "") -> Iterator[str]:
    """What keeps a move from using a claim, a sentence each. Raises ApiError."""
    where = f"claim {side.name} of stack {side.settings.stack}"
    if not writes and not side.is_bound:
        yield f"{where} has no volume: there is nothing to move"
    mode = side.claim["spec"].get("volumeMode") or "Filesystem"
    if mode != "Filesystem":
        yield f"{where} is a block volume (volumeMode {mode}): a move copies files"
    users = users_of(side, writes=writes, move=move)
    if users:
        command = _to_stop(users[0])
        how = f": `kubectl --context {side.api.context} -n {side.settings.namespace.name} {command}`" if command else " there."
        yield f"{where} is used by {', '.join(users)}. Stop it first{how}"


def users_of(side: ClaimSide, *, writes: bool = True, move: str = "", run: str = "") -> list[str]:
    """Who uses a claim: `StatefulSet postgres` with replicas, `pod x` that hasn't ended.

    The pods of `move` itself don't count; where `run` is given, those of this run of it. Those of
    others do, unless both only read.
    """
    namespace, name = side.settings.namespace.name, side.name
    sets = side.api.items(f"/apis/apps/v1/namespaces/{namespace}/statefulsets")
    users = [f"StatefulSet {each['metadata']['name']}" for each in sets if name in claims_of(each)]
    for pod in side.api.items(objects.namespaced(namespace, "pods")):
        known = labels.of(pod)
        own = known.get(MOVE, "") == move and known.get(RUN, "") in (run or known.get(RUN, ""), "")
        ours = known.get(labels.MANAGED_BY) == MANAGER and (own or not (writes or _writes(pod["spec"], name)))
        if not ours and name in claims_mounted_by(pod):
            users.append(f"pod {pod['metadata']['name']}{_owner(pod)}")
    return users


def _owner(pod: Json) -> str:
    """Who makes a pod anew when it is deleted: ` of Deployment x`, ` of Job y`; else empty."""
    found = next((each for each in pod["metadata"].get("ownerReferences") or [] if each.get("controller")), None)
    if found is None:
        return ""
    kind, name = found["kind"], found["name"]
    template = labels.of(pod).get("pod-template-hash")
    if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
        kind, name = "Deployment", name.removesuffix(f"-{template}")
    return f" of {kind} {name}"


def _to_stop(user: str) -> str:
    """What kubectl is told to stop it, and whoever would start it anew.

    Empty for kinds of others: to delete an operator's object may delete its claims.
    """
    kind, name = user.rpartition(" of ")[2].split(" ", 1)
    if kind in ("StatefulSet", "Deployment", "ReplicaSet"):
        return f"scale {kind.lower()} {name} --replicas=0"
    return f"delete {kind.lower()} {name}" if kind in ("pod", "Job") else ""


def _writes(spec: Json, claim: str) -> bool:
    """Whether a pod of a move writes to a claim."""
    named = {each["name"] for each in spec["volumes"] if (each.get("persistentVolumeClaim") or {}).get("claimName") == claim}
    mounts = [mount for container in spec["containers"] for mount in container.get("volumeMounts") or []]
    return any(mount["name"] in named and not mount.get("readOnly") for mount in mounts)


def claims_of(stateful_set: Json) -> set[str]:
    """The names of the claims of a StatefulSet's pods, with the replicas that are asked for."""
    spec = stateful_set["spec"]
    replicas = spec.get("replicas", 1)
    if not replicas:
        return set()
    start = (spec.get("ordinals") or {}).get("start", 0)
    templates = [each["metadata"]["name"] for each in spec.get("volumeClaimTemplates") or []]
    own = {f"{each}-{stateful_set['metadata']['name']}-{number}" for each in templates for number in range(start, start + replicas)}
    return own | claims_in(spec["template"]["spec"])
