"""How a claim and its volume stand to each other where one of them is going or gone.

A PersistentVolume that somebody deletes stays while its claim is there (the finalizer
`kubernetes.io/pv-protection`), and goes with it, whatever its reclaim policy says. Retain keeps the
data, but then nothing in the cluster says any more where that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from components.kube import labels
from components.kube.discovery import ReadingApi
from components.kube.node_affinity import describe, names_node, ready, served_by

Json = Mapping[str, Any]

SELECTED_NODE = "volume.kubernetes.io/selected-node"  # on a claim: where its first pod was


def claims_and_volumes(api: ReadingApi, namespace: str, stack: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The claims of `stack` in `namespace`, then all PersistentVolumes, as the API's JSON; no
    volumes where no claim has one. Raises ApiError.
    """
    selector = labels.selector_of_stack(stack)
    claims = api.get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims?labelSelector={selector}").get("items") or []
    bound = any(claim["spec"].get("volumeName") for claim in claims)
    return claims, api.get("/api/v1/persistentvolumes").get("items") or [] if bound else []


class BrokenBinding(NamedTuple):
    """A claim whose volume is being deleted, or was."""

    namespace: str
    """The claim's."""
    claim: str
    """Its name."""
    volume: str
    """The name of its volume."""
    since: str
    """When the volume was told to go (RFC 3339); empty where it is gone."""
    node: str = ""
    """The node that the claim's first pod was on; empty where that isn't known."""

    @property
    def gone(self) -> bool:
        """Whether the volume isn't there any more."""
        return not self.since

    @property
    def fact(self) -> str:
        """What is wrong, as a sentence without its end."""
        what = f"is being deleted since {self.since}, and goes with the claim" if self.since else "was deleted"
        return f"the volume {self.volume} of claim {self.namespace}/{self.claim} {what}"

    @property
    def delete(self) -> str:
        """The command that deletes the claim."""
        return f"kubectl -n {self.namespace} delete pvc {self.claim}"


def broken(claims: Iterable[Json], volumes: Iterable[Json]) -> Iterator[BrokenBinding]:
    """The claims whose volume is being deleted or gone.

    Both are the API's JSON, and the claims are the older answer: a claim may be bound in between.
    """
    by_name = {volume["metadata"]["name"]: volume for volume in volumes}
    for claim in claims:
        metadata, name = claim["metadata"], claim["spec"].get("volumeName")
        if not name or (claim.get("status") or {}).get("phase") == "Pending":
            continue
        node = (metadata.get("annotations") or {}).get(SELECTED_NODE, "")
        volume = by_name.get(name)
        if volume is None:
            yield BrokenBinding(metadata.get("namespace", ""), metadata["name"], name, "", node)
        elif volume["metadata"].get("deletionTimestamp") and is_of(volume, claim):
            yield BrokenBinding(metadata.get("namespace", ""), metadata["name"], name, volume["metadata"]["deletionTimestamp"], node)


def is_of(volume: Json, claim: Json) -> bool:
    """Whether a volume says that it is this claim's, by the claim's UID."""
    return bool((volume["spec"].get("claimRef") or {}).get("uid") == claim["metadata"]["uid"])


class Unreachable(NamedTuple):
    """A volume that no node of the cluster can use as things are."""

    where: str
    """Where it can be used, in words: `node storage-tiers`, `zone eu-central-1a`."""
    missing: bool
    """Whether the cluster has no such node. Otherwise it has, and none of them is Ready."""
    returns: bool
    """Whether a node of another name would do, such as a new one in the zone."""

    @property
    def fact(self) -> str:
        """What is wrong, as the rest of a sentence that begins with the volume's name."""
        return f"is usable on {self.where} alone, {'which the cluster does not have' if self.missing else 'which is not Ready'}"


def unreachable(terms: Sequence[Json], nodes: Sequence[Json]) -> Unreachable | None:
    """Why a volume with these nodeSelectorTerms can't be used on `nodes`; None where it can."""
    if served_by(terms, [node for node in nodes if ready(node)]):
        return None
    return Unreachable(describe(terms), not served_by(terms, nodes), not names_node(terms))


def node_terms(volume: Json) -> Sequence[Json]:
    """The nodeSelectorTerms of a PersistentVolume; empty where it can be used on every node."""
    return ((volume["spec"].get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or []


class OutOfReach(NamedTuple):
    """The volume of a claim, and why no node can use it as things are; both as the API's JSON."""

    claim: Json
    volume: Json
    where: Unreachable


def out_of_reach(claims: Iterable[Json], volumes: Iterable[Json], nodes: Sequence[Json]) -> Iterator[OutOfReach]:
    """The volumes that claims name and no node can use."""
    by_name = {volume["metadata"]["name"]: volume for volume in volumes}
    for claim in claims:
        volume = by_name.get(claim["spec"].get("volumeName") or "")
        where = unreachable(node_terms(volume), nodes) if volume else None
        if volume and where:
            yield OutOfReach(claim, volume, where)
