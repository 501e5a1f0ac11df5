"""Refuses settings that would lose a claim, before the first resource is declared.

What may change on a claim is in claim_rules. Here it is asked of every claim that the stack has,
and said of the setting that changes it. Only claims that hold data count; where that can't be told,
they do. Their volumes stay (Retain), but nobody would have them any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import pulumi

from components.kube.api import KubeApi
from components.kube.ownership import claim_name
from components.kube.quantity import as_quantity
from components.preflight import claim_rules, previous
from components.preflight.claim_rules import ACCESS_MODES, NAMESPACE, STORAGE_CLASS, ClaimFinding, ClaimValues, Effect
from components.preflight.cluster import open_api
from components.preflight.previous import PreviousClaim, PreviousStack
from components.preflight.snapshot import ClaimSnapshot, ClaimState, read_claims, read_claims_of_stack
from components.preflight.volumes import warn_of_volumes
from components.provisioners import class_name, shown
from components.settings import Problem, ServiceSettings, Settings
from components.settings.program import RefusedByProgram

SHOWN = 5  # claims that a message names one by one


class QuotaHeadroom(NamedTuple):
    """What a quota must allow beside the services' own claims.

    Old ones count until the run that deletes or replaces them has ended.
    """

    claims: int = 0
    """How many claims."""
    size: int = 0
    """How many bytes they ask for, all together."""


def check_claims(settings: Settings, api: KubeApi | None = None) -> defaultdict[str, QuotaHeadroom]:
    """Raise RefusedByProgram, with every reason, for settings that would lose claims of the stack.

    `api` is what check_cluster returned; without it the cluster's is opened.

    Returns the headroom that the quota of each class needs, by the class's name. A preview on an
    empty state, such as a throw-away one, has nothing to lose.
    """
    outputs = previous.outputs()
    if not outputs and pulumi.runtime.is_dry_run():
        return defaultdict(QuotaHeadroom)
    cluster = settings.cluster
    before = PreviousStack.of(outputs) if outputs else PreviousStack(cluster.context, cluster.identifier, settings.provisioner.name, ())
    api = api or open_api(settings)
    namespaces = {settings.namespace.name, *(claim.namespace for claim in before.claims)}
    # A first `up` that failed has left no outputs, and may have made claims in a namespace that the
    # settings had then.
    here = read_claims(api, namespaces) if outputs else read_claims_of_stack(api, settings.stack, settings.namespace.name)
    there = here if before.context == cluster.context else read_claims(api.of_context(before.context), namespaces)
    elsewhere = previous.is_another_cluster(before, here, there)
    snapshot = there if elsewhere else here
    before = before.as_seen(snapshot, settings.stack)
    found = problems(before, settings, snapshot, elsewhere)
    if found:
        raise RefusedByProgram(found, settings.stack)
    if not elsewhere:
        warn_of_volumes(api, snapshot, settings.stack)
    return defaultdict(QuotaHeadroom) if elsewhere else quota_headroom(before, settings, snapshot)


def problems(before: PreviousStack, settings: Settings, snapshot: ClaimSnapshot, elsewhere: bool = False) -> list[Problem]:
    """Every setting that would lose a claim with data, and every size that Kubernetes would refuse.

    `snapshot` is of the cluster that has the stack's claims. `elsewhere`: that is not the one of
    the settings' context, but that of the last `up`.
    """
    # By service, those of the settings first and in their order.
    by_service: dict[str, dict[ClaimState, list[PreviousClaim]]] = {name: defaultdict(list) for name in settings.services}
    for claim in before.claims:
        by_service.setdefault(claim.service, defaultdict(list))[snapshot.state(claim.key)].append(claim)
    kept = {name: [*states[ClaimState.BOUND], *states[ClaimState.UNKNOWN]] for name, states in by_service.items()}
    context = before.context if elsewhere else settings.cluster.context
    check = _SettingsCheck(before, settings, context, f", as far as can be told ({snapshot.unread})" if snapshot.unread else "")
    found = list(check.whole_stack([claim for claims in kept.values() for claim in claims], elsewhere))
    for name, states in by_service.items():
        found += check.service(name, kept[name]) if kept[name] else []
        found += check.size_of_pending(name, states[ClaimState.PENDING])
    return found


def is_replaced(claim: PreviousClaim, before: PreviousStack, settings: Settings) -> bool:
    """Whether Pulumi would delete this claim, and make another one in its place or none."""
    service = settings.services.get(claim.service)
    if service is None or claim.ordinal >= service.replicas or before.identifier != settings.cluster.identifier:
        return True
    wanted = {NAMESPACE: settings.namespace.name, **_wanted(service, settings.provisioner.name)}
    return any(finding.effect is Effect.REPLACED for finding in claim_rules.compare(claim.values, wanted))


def quota_headroom(before: PreviousStack, settings: Settings, snapshot: ClaimSnapshot) -> defaultdict[str, QuotaHeadroom]:
    """What the claims that this run deletes or replaces ask for, by class.

    Only classes on which the run makes claims as well are in it.

    Without it the quota would refuse those that take their place, for as long as they are there.
    """
    there = [claim for claim in before.claims if claim.key in snapshot.claims and claim.namespace == settings.namespace.name]
    leaving = [claim for claim in there if is_replaced(claim, before, settings)]
    staying = {claim.key for claim in there} - {claim.key for claim in leaving}
    makes = {
        settings.tiers[service.tier].class_name
        for name, service in settings.services.items()
        for ordinal in range(service.replicas)
        if (settings.namespace.name, claim_name(name, ordinal)) not in staying
    }
    headroom: defaultdict[str, QuotaHeadroom] = defaultdict(QuotaHeadroom)
    for claim in leaving:
        if claim.storage_class in makes:
            others = headroom[claim.storage_class]
            headroom[claim.storage_class] = QuotaHeadroom(others.claims + 1, others.size + claim.size)
    return headroom


def _wanted(service: ServiceSettings, provisioner: str) -> ClaimValues:
    """What the settings want of a service's claims, wherever they are."""
    return {STORAGE_CLASS: class_name(service.tier, provisioner), ACCESS_MODES: [service.access_mode]}


class _SettingsCheck(NamedTuple):
    """Says of the settings what the rules find on the claims."""

    before: PreviousStack
    settings: Settings
    context: str
    """The context of the cluster that has the claims."""
    unread: str
    """A part of a sentence for when the claims could not be read, else empty."""

    def whole_stack(self, kept: list[PreviousClaim], elsewhere: bool) -> Iterator[Problem]:
        """Of the settings of all services alike: `kept` are the claims that hold data, or may."""
        before, settings = self.before, self.settings
        cluster, namespace = settings.cluster, settings.namespace.name
        if kept and cluster.identifier != before.identifier:
            rule = f"{claim_rules.another_cluster('identifier').rule}, and {self.data_in(kept)}"
            yield Problem("cluster.identifier", shown(cluster.identifier), rule, claim_rules.keep_or_part(before.identifier))
        if kept and elsewhere:
            rule = f"this cluster has none of the stack's claims, and in that of context {before.context} {self.data_in(kept)}"
            yield Problem("cluster.context", shown(cluster.context), rule, claim_rules.keep_or_part(before.context))
        for finding, left in _by_finding(kept, lambda claim: claim_rules.compare(claim.values, {NAMESPACE: namespace})):
            rule, works = f"{finding.rule}, and in {left[0].namespace} {self.data_in(left)}", left[0].namespace
            yield Problem("namespace.name", shown(namespace), rule, claim_rules.keep_or_copy(works, "stack"))
        remaining = [claim for claim in kept if claim.service in settings.services]
        if remaining and settings.provisioner.name != before.provisioner:
            rule = f"{claim_rules.replacing(STORAGE_CLASS).rule}, and on {before.provisioner} {self.data_in(remaining)}"
            yield Problem("provisioner", shown(settings.provisioner.name), rule, claim_rules.keep_or_copy(before.provisioner, "stack"))

    def service(self, name: str, kept: list[PreviousClaim]) -> Iterator[Problem]:
        """Of the settings of one service.

        Classes are compared as if the provisioner were that of the last `up`: another one is said
        once, of the whole stack.
        """
        path, service = f"services.{name}", self.settings.services.get(name)
        if service is None:
            rule = f"{claim_rules.removed(kept[0].ordinal, 0).rule}, and {self.data_in(kept)}"
            yield Problem(path, "(missing)", rule, self.or_give_up(self.as_it_was(kept), kept))
            return
        surplus = [claim for claim in kept if claim.ordinal >= service.replicas]
        if surplus:
            rule = f"{claim_rules.removed(surplus[0].ordinal, service.replicas).rule}, and {self.data_in(surplus)}"
            yield Problem(f"{path}.replicas", shown(service.replicas), rule, self.or_give_up(str(_replicas(surplus)), surplus))
        wanted = _wanted(service, self.before.provisioner)
        for finding, claims in _by_finding(kept, lambda claim: claim_rules.compare(claim.values, wanted)):
            first, data = claims[0], self.data_in(claims)
            if finding.field == STORAGE_CLASS:
                rule, works = f"{finding.rule}, and on {first.storage_class} {data}", claim_rules.keep_or_copy(self.tier(first))
                yield Problem(f"{path}.tier", shown(service.tier), rule, works)
            elif finding.field == ACCESS_MODES:
                works = claim_rules.keep_or_copy(str(first.access_mode))
                yield Problem(f"{path}.accessMode", shown(service.access_mode), f"{finding.rule}, and {data}", works)
        yield from self.size(f"{path}.size", service, kept)

    def size(self, path: str, service: ServiceSettings, kept: list[PreviousClaim]) -> Iterator[Problem]:
        """Of a service's size."""
        provisioner = self.settings.provisioner
        grows = provisioner.storage_class(self.settings.tiers[service.tier].parameters).allow_volume_expansion
        wanted = service.size.provisioned_bytes
        for finding, claims in _by_finding(kept, lambda claim: self._compare_sizes(claim, wanted, grows)):
            requested, has = claims[0].requested, claims[0].has
            # What failed to grow is smaller than it was asked to be.
            is_less = has is not None and has < claims[0].size
            rule = f"{finding.rule}, and {self.data_in(claims)} of {as_quantity(has) if has and is_less else requested}"
            yield Problem(path, shown(service.size.requested), rule, claim_rules.keep_or_copy(requested))

    def _compare_sizes(self, claim: PreviousClaim, wanted: int, grows: bool) -> Iterator[ClaimFinding]:
        return claim_rules.compare_sizes(claim.size, wanted, self.settings.provisioner.name, grows, claim.has)

    def size_of_pending(self, name: str, pending: list[PreviousClaim]) -> Iterator[Problem]:
        """Of a service's size, for claims that wait for a first pod.

        One that is replaced for another reason may have any size.
        """
        service = self.settings.services.get(name)
        if service is None:
            return
        wanted = service.size.provisioned_bytes
        stay = [claim for claim in pending if not is_replaced(claim, self.before, self.settings)]
        for finding, fixed in _by_finding(stay, lambda claim: claim_rules.compare_sizes_unbound(claim.size, wanted)):
            rule = f"{finding.rule}, and {_listed(fixed)} {_for(fixed, 'waits', 'wait')} for a first pod"
            works = f"{fixed[0].requested}; or `{self.delete(fixed)}` (without data as yet), then `pulumi up --refresh`"
            yield Problem(f"services.{name}.size", shown(service.size.requested), rule, works)

    def data_in(self, claims: list[PreviousClaim]) -> str:
        """That these claims hold data, as far as that is known."""
        return f"{_listed(claims)} {_for(claims, 'holds', 'hold')} data{self.unread}"

    def as_it_was(self, claims: list[PreviousClaim]) -> str:
        """The setting of a service that has these claims."""
        first = claims[0]
        mode = f", accessMode: {first.access_mode}" if first.access_mode not in ("ReadWriteOnce", None) else ""
        return f"{{tier: {self.tier(first)}, size: {first.requested}, replicas: {_replicas(claims)}{mode}}}"

    def or_give_up(self, works: str, claims: list[PreviousClaim]) -> str:
        """The value that keeps these claims, or how to do without them on purpose."""
        return claim_rules.keep_or_give_up(works, self.delete(claims), len(claims), "`pulumi up`")

    def delete(self, claims: list[PreviousClaim]) -> str:
        """The command that deletes these claims."""
        return claim_rules.delete_command(self.context, claims[0].namespace, [claim.name for claim in claims])

    def tier(self, claim: PreviousClaim) -> str:
        """The tier that a claim is on, by the name of its class."""
        return claim.storage_class.removesuffix(f"-{self.before.provisioner}")


def _by_finding(
    claims: list[PreviousClaim], find: Callable[[PreviousClaim], Iterable[ClaimFinding]]
) -> Iterator[tuple[ClaimFinding, list[PreviousClaim]]]:
    """Each finding with the claims that have it, by the order of the fields in the rules."""
    found: defaultdict[ClaimFinding, list[PreviousClaim]] = defaultdict(list)
    for claim in claims:
        for finding in find(claim):
            found[finding].append(claim)
    yield from sorted(found.items(), key=lambda each: claim_rules.FIELDS.index(each[0].field))


def _replicas(claims: Iterable[PreviousClaim]) -> int:
    """The smallest number of replicas with which a service has all these claims."""
    return 1 + max(claim.ordinal for claim in claims)


def _for(claims: list[PreviousClaim], one: str, several: str) -> str:
    return one if len(claims) == 1 else several


def _listed(claims: list[PreviousClaim]) -> str:
    names = [claim.name for claim in claims]
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
