"""Refuses settings that would lose a claim: said by `pulumi preview` and `pulumi up` before the first resource is declared.

To Pulumi a claim with another class or name is another claim, so it deletes the old one. The volume stays (Retain), but nobody has
it any more. Only claims that hold data count; where that can't be told, they do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pulumi

from components.kube.api import KubeApi
from components.kube.ownership import claim_name
from components.preflight import previous
from components.preflight.cluster import load_kubeconfig
from components.preflight.previous import Before, Claim, Looked, State
from components.provisioners import class_name, shown
from components.settings import Problem, ServiceSettings, Settings, SettingsError

SHOWN = 5  # claims that a message names one by one
ANEW = "it would be made anew, empty"
OTHER_CLUSTER = "a stack of its own for another cluster (`pulumi stack init <name>`)"
COPY = "a copy of the data (docs/changes.md)"


@dataclass(frozen=True)
class Room:
    """How many claims of a class, and how many bytes, are there until the run that deletes or replaces them has ended."""

    claims: int = 0
    size: int = 0


def check_claims(settings: Settings) -> defaultdict[str, Room]:
    """Raise SettingsError for settings that would lose claims of the stack, with every reason there is.

    Returns the claims without data that this run deletes or replaces, by class, where it makes others on that class: the quota must
    have room for them until then, or it refuses those that take their place. A preview on an empty state, such as a throw-away one, has
    nothing to lose.
    """
    outputs = previous.outputs()
    if not outputs and pulumi.runtime.is_dry_run():
        return defaultdict(Room)
    cluster = settings.cluster
    before = Before.of(outputs) if outputs else Before(cluster.context, cluster.identifier, settings.provisioner.name, ())
    kubeconfig = load_kubeconfig(settings.stack)
    api = KubeApi(kubeconfig, cluster.context)
    namespaces = {settings.namespace.name, *(claim.namespace for claim in before.claims)}
    # A first `up` that failed has left no outputs, and may have made claims in a namespace that the settings had then.
    here = previous.look(api, namespaces) if outputs else previous.look_for_all(api, settings.stack, settings.namespace.name)
    there = here if before.context == cluster.context else previous.look(KubeApi(kubeconfig, before.context), namespaces)
    elsewhere = previous.moved(before, here, there)
    seen = there if elsewhere else here
    before = before.as_seen(seen, settings.stack)
    found = problems(before, settings, seen, elsewhere)
    if found:
        raise SettingsError(found, settings.stack)
    return defaultdict(Room) if elsewhere else room(before, settings, seen)


def problems(before: Before, settings: Settings, seen: Looked, elsewhere: bool = False) -> list[Problem]:
    """Every setting that would lose a claim that holds data, or may; and every size that Kubernetes would refuse.

    `seen` is what the cluster has; `elsewhere`: not that of the settings' context, but that of the last `up`.
    """
    by_service: dict[str, dict[State, list[Claim]]] = {name: defaultdict(list) for name in settings.services}  # in their order
    for claim in before.claims:
        by_service.setdefault(claim.service, defaultdict(list))[seen.state(claim)].append(claim)
    kept = {name: [*states[State.BOUND], *states[State.UNKNOWN]] for name, states in by_service.items()}
    context = before.context if elsewhere else settings.cluster.context
    find = _Find(before, settings, context, f", as far as can be told ({seen.unread})" if seen.unread else "")
    found = list(find.for_all([claim for claims in kept.values() for claim in claims], elsewhere))
    for name, states in by_service.items():
        found += find.for_one(name, kept[name]) if kept[name] else []
        found += find.for_pending(name, states[State.PENDING])
    return found


def replaced(claim: Claim, before: Before, settings: Settings) -> bool:
    """Whether Pulumi would delete this claim, and make another one in its place or none."""
    service = settings.services.get(claim.service)
    return (
        service is None
        or claim.ordinal >= service.replicas
        or before.identifier != settings.cluster.identifier
        or claim.namespace != settings.namespace.name
        or claim.storage_class != settings.tiers[service.tier].class_name
        or claim.access_mode not in (service.access_mode, None)
    )


def room(before: Before, settings: Settings, seen: Looked) -> defaultdict[str, Room]:
    """What is in the settings' namespace and goes with this run, by class; of classes alone on which the run makes claims as well."""
    there = [claim for claim in before.claims if claim.key in seen.claims and claim.namespace == settings.namespace.name]
    leaving = [claim for claim in there if replaced(claim, before, settings)]
    staying = {claim.key for claim in there} - {claim.key for claim in leaving}
    makes = {
        settings.tiers[service.tier].class_name
        for name, service in settings.services.items()
        for ordinal in range(service.replicas)
        if (settings.namespace.name, claim_name(name, ordinal)) not in staying
    }
    going: defaultdict[str, Room] = defaultdict(Room)
    for claim in leaving:
        if claim.storage_class in makes:
            others = going[claim.storage_class]
            going[claim.storage_class] = Room(others.claims + 1, others.size + claim.size)
    return going


@dataclass(frozen=True)
class _Find:
    """What is wrong, in words. `context` is where the claims are, `unread` a part of a sentence for when they could not be looked at."""

    before: Before
    settings: Settings
    context: str
    unread: str

    def for_all(self, kept: list[Claim], elsewhere: bool) -> Iterator[Problem]:
        """For claims of all services alike: `kept` are those that hold data, or may. `elsewhere`: on the cluster of the last `up`."""
        before, settings = self.before, self.settings
        cluster, namespace = settings.cluster, settings.namespace.name
        if kept and cluster.identifier != before.identifier:
            rule = f"another identifier is another cluster, on which everything is made anew, and {self.data_in(kept)}"
            yield Problem("cluster.identifier", shown(cluster.identifier), rule, f"{before.identifier}; or {OTHER_CLUSTER}")
        if kept and elsewhere:
            rule = f"this cluster has none of the stack's claims, and in that of context {before.context} {self.data_in(kept)}"
            yield Problem("cluster.context", shown(cluster.context), rule, f"{before.context}; or {OTHER_CLUSTER}")
        left = [claim for claim in kept if claim.namespace != namespace]
        if left:
            rule = f"a claim can't change its namespace: {ANEW}, and in {left[0].namespace} {self.data_in(left)}"
            yield Problem("namespace.name", shown(namespace), rule, f"{left[0].namespace}; or a new stack and {COPY}")
        remaining = [claim for claim in kept if claim.service in settings.services]
        if remaining and settings.provisioner.name != before.provisioner:
            rule = f"a claim can't change its class: {ANEW}, and on {before.provisioner} {self.data_in(remaining)}"
            yield Problem("provisioner", shown(settings.provisioner.name), rule, f"{before.provisioner}; or a new stack and {COPY}")

    def for_one(self, name: str, kept: list[Claim]) -> Iterator[Problem]:
        """For the claims of one service that hold data, or may."""
        path, service = f"services.{name}", self.settings.services.get(name)
        if service is None:
            rule = f"the claims of a service that is removed or renamed are deleted, and {self.data_in(kept)}"
            yield Problem(path, "(missing)", rule, f"{self.as_it_was(kept)}; {self.give_up(kept)}")
            return
        surplus = [claim for claim in kept if claim.ordinal >= service.replicas]
        if surplus:
            rule = f"the claims above that number are deleted, and {self.data_in(surplus)}"
            yield Problem(f"{path}.replicas", shown(service.replicas), rule, f"{_replicas(surplus)}; {self.give_up(surplus)}")
        others = [claim for claim in kept if claim.storage_class != class_name(service.tier, self.before.provisioner)]
        if others:
            rule = f"a claim can't change its class: {ANEW}, and on {others[0].storage_class} {self.data_in(others)}"
            yield Problem(f"{path}.tier", shown(service.tier), rule, f"{self.tier(others[0])}; or a new service and {COPY}")
        others = [claim for claim in kept if claim.access_mode not in (service.access_mode, None)]
        if others:
            rule = f"a claim can't change its access mode: {ANEW}, and {self.data_in(others)}"
            yield Problem(f"{path}.accessMode", shown(service.access_mode), rule, f"{others[0].access_mode}; or a new service and {COPY}")
        yield from self.for_sizes(f"{path}.size", service, kept)

    def for_sizes(self, path: str, service: ServiceSettings, kept: list[Claim]) -> Iterator[Problem]:
        """A volume never shrinks, and grows only where the provisioner can let it."""
        wanted, value = service.size.provisioned_bytes, shown(service.size.requested)
        larger = [claim for claim in kept if claim.size > wanted]
        smaller = [claim for claim in kept if claim.size < wanted]
        if larger:
            rule = f"a volume can't be made smaller, and {self.data_in(larger)} of {larger[0].requested}"
            yield Problem(path, value, rule, f"{larger[0].requested}; or a new service and {COPY}")
        provisioner, tier = self.settings.provisioner, self.settings.tiers[service.tier]
        if smaller and not provisioner.storage_class(tier.parameters).allow_volume_expansion:
            rule = f"{provisioner.name} can't make a volume larger, and {self.data_in(smaller)} of {smaller[0].requested}"
            yield Problem(path, value, rule, f"{smaller[0].requested}; or a new service and {COPY}")

    def for_pending(self, name: str, pending: list[Claim]) -> Iterator[Problem]:
        """For the size of claims that wait for a first pod: Kubernetes refuses to change it, though nothing is in them."""
        service = self.settings.services.get(name)
        if service is None:
            return
        wanted = service.size.provisioned_bytes
        fixed = [claim for claim in pending if claim.size != wanted and not replaced(claim, self.before, self.settings)]
        if fixed:
            rule = f"Kubernetes changes the size of a bound claim only, and {_listed(fixed)} {_for(fixed, 'waits', 'wait')} for a first pod"
            works = f"{fixed[0].requested}; or `{self.delete(fixed)}` (without data as yet), then `pulumi up --refresh`"
            yield Problem(f"services.{name}.size", shown(service.size.requested), rule, works)

    def data_in(self, claims: list[Claim]) -> str:
        """That these claims hold data, as far as that is known."""
        return f"{_listed(claims)} {_for(claims, 'holds', 'hold')} data{self.unread}"

    def as_it_was(self, claims: list[Claim]) -> str:
        """The setting of a service that has these claims."""
        first = claims[0]
        mode = f", accessMode: {first.access_mode}" if first.access_mode not in ("ReadWriteOnce", None) else ""
        return f"{{tier: {self.tier(first)}, size: {first.requested}, replicas: {_replicas(claims)}{mode}}}"

    def give_up(self, claims: list[Claim]) -> str:
        """How to do without claims on purpose."""
        return (
            f"or, to do without {_for(claims, 'it', 'them')}, stop the pods, `{self.delete(claims)}` "
            f"({_for(claims, 'the volume is', 'the volumes are')} retained: `python -m ops volumes`), then `pulumi up`"
        )

    def delete(self, claims: list[Claim]) -> str:
        """The command that deletes these claims."""
        return f"kubectl --context {self.context} -n {claims[0].namespace} delete pvc {' '.join(claim.name for claim in claims)}"

    def tier(self, claim: Claim) -> str:
        """The tier that a claim is on, by the name of its class."""
        return claim.storage_class.removesuffix(f"-{self.before.provisioner}")


def _replicas(claims: Iterable[Claim]) -> int:
    """The smallest number of replicas with which a service has all these claims."""
    return 1 + max(claim.ordinal for claim in claims)


def _for(claims: list[Claim], one: str, several: str) -> str:
    return one if len(claims) == 1 else several


def _listed(claims: list[Claim]) -> str:
    names = [claim.name for claim in claims]
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
