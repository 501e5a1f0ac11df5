"""A stack's volumes on its cluster: looked at, stamped, and given back to their claims."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.kube import labels
from components.kube.api import Json
from components.kube.attributes import TAKEN_OFF, give_back
from components.kube.kept import KeptVolume, keep_volumes
from components.kube.ownership import BOUND_BY_CONTROLLER, stamp_volumes
from components.settings import Settings
from ops.console import say, step
from ops.errors import UserError
from ops.kube import open_api
from ops.volumes import found, saved
from ops.volumes.api import VolumesApi
from ops.volumes.found import VolumesFolder
from ops.volumes.matching import AdoptionPlan, make_plan
from ops.volumes.volume import Volume
from ops.volumes.wanted import Wanted, wanted_claims

_ATTEMPTS = 5  # at a plan whose volumes somebody else changes at the same time
BINDING = 90  # seconds for reserved volumes to be bound: the controller looks at all of them every 15 s (its resync period)


@dataclass(frozen=True)
class ObservedVolumes:
    """The cluster as it was at one look: the API's JSON of claims (in the services' namespace) and
    nodes, and all volumes.

    `volumes` includes those that could be declared for data without an object.
    """

    claims: Sequence[Json]
    volumes: Sequence[Volume]
    nodes: Sequence[Json]


class StackVolumes:
    """The volumes of one stack.

    `folder`: where the provisioner of a dev cluster keeps them; `list_file`: a saved list of them.
    """

    def __init__(
        self, settings: Settings, kubeconfig: str | None = None, folder: VolumesFolder | None = None, list_file: Path | None = None
    ) -> None:
        self.settings = settings
        self.namespace = settings.namespace.name
        self.wanted = wanted_claims(settings)
        self.api = VolumesApi(open_api(settings.cluster.context, kubeconfig))
        self.folder = folder
        self.list_file = list_file

    def stamp(self) -> list[str]:
        """Stamp what is bound to the stack's claims.

        The names of the volumes that were stamped now.
        """
        return stamp_volumes(self.api.kube, self.namespace, self.settings.stack)

    def keep(self) -> list[KeptVolume]:
        """Declare the data again of what is being deleted under the stack's claims."""
        return keep_volumes(self.api.kube, self.namespace, self.settings.stack)

    def look(self) -> ObservedVolumes:
        """The cluster as it is now.

        Claims first: what they are bound to is then among the volumes, unless it is gone.
        """
        claims, nodes = self.api.claims(self.namespace), self.api.nodes()
        volumes = [Volume.of(each) for each in self.api.volumes()]
        if self.list_file:
            volumes += saved.read(self.list_file, self.settings, volumes)
        if self.folder:
            volumes += found.directories(self.folder, self.wanted, volumes, nodes)
        return ObservedVolumes(claims, volumes, nodes)

    def plan(self, seen: ObservedVolumes) -> AdoptionPlan:
        """What an adoption would do."""

        def declare(wanted: Wanted, choice: str) -> Volume | str:
            return found.declare(wanted, choice, seen.volumes, seen.nodes, self.folder)

        return make_plan(self.wanted, seen.claims, seen.volumes, seen.nodes, declare)

    def reserve(self) -> AdoptionPlan:
        """Reserve for every claim that has none its own old volume, or for none of them.

        Returns what was reserved.

        Raises UserError with every doubt, and what would resolve it.
        """
        if self.api.namespace_is_going(self.namespace):
            raise UserError(f"namespace {self.namespace} is being deleted.", "Wait until it is gone, then try again.")
        for _ in range(_ATTEMPTS):
            plan = self.plan(self.look())
            if plan.problems:
                raise UserError(
                    "\n".join(
                        [
                            f"{len(plan.problems)} of the {len(self.wanted)} claims of stack {self.settings.stack} can't be given a "
                            "volume; nothing was reserved:",
                            *(f"  {wanted}: {problem}" for wanted, problem in plan.problems),
                        ]
                    )
                )
            classed = [(wanted, volume) for wanted, volume in plan.gives.items() if volume.exists and volume.attributes_class]
            for wanted, volume in classed:
                self._take_off_attributes_class(wanted, volume)
            if classed:
                continue  # what is to be reserved are other objects now
            if all(self._reserve(wanted, volume) for wanted, volume in plan.gives.items()):
                return plan
        raise UserError("the volumes change all the time: somebody else is working on them.", "Try again when that has ended.")

    def _reserve(self, wanted: Wanted, volume: Volume) -> bool:
        """Reserve one volume for its claim; False when it has changed since it was looked at."""
        if not volume.exists:
            return self.api.create_volume(found.manifest(wanted, volume))
        reserved = volume.reserved and volume.claim == wanted.reference
        if reserved and BOUND_BY_CONTROLLER not in volume.annotations and volume.policy == "Retain":
            return True
        body = {
            "metadata": {
                "resourceVersion": volume.version,
                # With it, should the claim be bound to another volume, the controller takes the
                # whole claimRef away: for anybody to have.
                "annotations": {BOUND_BY_CONTROLLER: None},
            },
            "spec": {
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {**found.claim_reference(wanted), "uid": None, "resourceVersion": None},
            },
        }
        return self.api.change_volume(volume.name, body)

    def _take_off_attributes_class(self, wanted: Wanted, volume: Volume) -> None:
        """Declare a volume anew without its VolumeAttributesClass: with it no claim of a stack is
        bound to it.

        The data has an object at every moment, and none that would delete it.
        """
        kept = {"metadata": {"resourceVersion": volume.version}, "spec": {"persistentVolumeReclaimPolicy": "Retain"}}
        if self.api.change_volume(volume.name, kept):
            read = self.api.volume(volume.name)
            if read:
                self.api.create_volume(found.without_attributes_class(wanted, read))
                self.api.delete_volume(volume.name, volume.uid)

    def wait_bound(self, plan: AdoptionPlan, seconds: float = BINDING) -> None:
        """Wait until every claim of the plan is bound to exactly its volume, and stamp those.

        Raises UserError for a claim that got another one, or none in time.
        """
        if not plan.gives:
            return
        with step(f"Volumes: binding {len(plan.gives)} to their claims", estimate=5) as progress:
            end = time.monotonic() + seconds
            while True:
                claims = {claim["metadata"]["name"]: claim for claim in self.api.claims(self.namespace)}
                left = [wanted for wanted, volume in plan.gives.items() if not self._is_bound(wanted, volume, claims.get(wanted.name))]
                progress.detail = f"{len(plan.gives) - len(left)} bound"
                if not left:
                    break
                if time.monotonic() > end:
                    raise self._not_bound(left, plan, claims)
                time.sleep(0.3)
        self.stamp()

    def _is_bound(self, wanted: Wanted, volume: Volume, claim: Json | None) -> bool:
        held = claim["spec"].get("volumeName") if claim else None
        if held and held != volume.name:
            raise UserError(
                f"{wanted} was bound to {held}, while {volume.name} was reserved for it: a pod has asked for the claim in between.",
                f"Stop the pods, `kubectl -n {wanted.namespace} delete pvc {wanted.name}`, and adopt again: both volumes are kept.",
            )
        return bool(claim and held and (claim.get("status") or {}).get("phase") == "Bound")

    def _not_bound(self, left: Sequence[Wanted], plan: AdoptionPlan, claims: dict[str, Json]) -> UserError:
        lines = []
        for wanted in left:
            phase = (claims[wanted.name].get("status") or {}).get("phase") if wanted.name in claims else "not there"
            lines.append(f"  {wanted}: {phase}, {plan.gives[wanted].name} is reserved for it")
            lines += [f"    {line}" for line in self.api.last_events(wanted.namespace, wanted.name)]
        return UserError(
            "\n".join(["these claims were not bound in time; their volumes stay reserved:", *lines]),
            "Run the same command again: it goes on where this one stopped.",
        )

    def old_for_new(self, seen: ObservedVolumes) -> list[Wanted]:
        """The claims that are new and empty (not bound to any volume) although old volumes of
        theirs are there.
        """
        plan = self.plan(seen)
        names = {claim["metadata"]["name"] for claim in seen.claims}
        doubtful = {wanted for wanted, _ in plan.problems}
        unbound = {claim["metadata"]["name"] for claim in seen.claims if not claim["spec"].get("volumeName")}
        return [each for each in self.wanted if each.name in names & unbound and (each in plan.gives or each in doubtful)]


def strangers(volumes: Sequence[Volume], stack: str) -> list[Volume]:
    """The volumes that are labelled for another stack of this project; a canary's are nobody's."""
    return [volume for volume in volumes if volume.marked_for not in ("", stack) and not volume.of_canary]


def foreign_claims(claims: Sequence[Json], stack: str) -> list[Json]:
    """The bound claims of another stack of this project; a canary's are nobody's."""
    return [
        claim
        for claim in claims
        if labels.stack_of(labels.of(claim)) not in ("", stack)
        and not labels.are_of_canary(labels.of(claim))
        and claim["spec"].get("volumeName")
    ]


def refuse_for_strangers(api: VolumesApi, stack: str) -> None:
    """Raise UserError when a cluster that is about to be deleted holds volumes of another stack
    than `stack`: labelled so, or in use.
    """
    found = strangers([Volume.of(each) for each in api.volumes()], stack)
    names = {each.name for each in found}
    claims = [claim for claim in foreign_claims(api.all_claims(), stack) if claim["spec"]["volumeName"] not in names]
    if found or claims:
        lines = [f"  {each.name}: {each.stamp or f'stack {each.marked_for}'}, {each.phase}, {each.location}" for each in found]
        for claim in claims:
            metadata = claim["metadata"]
            whose = f"claim {metadata['namespace']}/{metadata['name']} of stack {labels.stack_of(labels.of(claim))}"
            lines.append(f"  {claim['spec']['volumeName']}: {whose}, Bound")
        first = found[0].marked_for if found else labels.stack_of(labels.of(claims[0]))
        destroyed = f"`pulumi destroy --stack {first}`, then " if claims else ""
        raise UserError(
            "\n".join([f"this cluster holds volumes of another stack than {stack}; nothing was deleted:", *lines]),
            f"Save what is in them, or delete them as their own stack: {destroyed}`python -m ops volumes prune --stack {first}`. "
            "Then purge again.",
        )


def said_reserved(plan: AdoptionPlan) -> None:
    """Say which volume goes to which claim."""
    for wanted, volume in plan.gives.items():
        say(f"  {wanted}: {volume.name} ({volume.location})")
        had = volume.annotations.get(TAKEN_OFF, "") or volume.attributes_class
        if had:
            say(f"    it had the VolumeAttributesClass {had}. When it is bound: {give_back(wanted.namespace, wanted.name, had)}")
