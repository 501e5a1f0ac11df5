"""Completes a state that an interrupted run has left behind the cluster, with what bears the
stack's labels there.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.settings import Settings
from ops.console import say, step
from ops.errors import UserError
from ops.healing import state
from ops.healing.contexts import rename_unknown
from ops.healing.objects import Found, Objects
from ops.healing.state import Ref
from ops.pulumi_command import Pulumi

_DELETION = 90.0  # seconds that objects which are being deleted have to be gone: a namespace takes about ten
_SHOWN = 12  # objects that a message names


@dataclass
class Findings:
    """What the cluster has beside the state.

    `ours` is this stack's own, by URN. The others are somebody else's, or being deleted.
    """

    ours: dict[str, Ref] = field(default_factory=dict)
    strangers: list[Found] = field(default_factory=list)
    going: list[Ref] = field(default_factory=list)


class Healing:
    """The state of one stack, and the cluster's objects beside it.

    `contexts` are those that the kubeconfig has; None where that isn't known.
    """

    def __init__(self, pulumi: Pulumi, objects: Objects, settings: Settings, contexts: Collection[str] | None = None) -> None:
        self.contexts = contexts
        self.pulumi = pulumi
        self.objects = objects
        self.settings = settings
        self.stack = settings.stack

    def complete_state(self, *, ours_alone: bool, destroying: bool = False) -> None:
        """Settle what the last run had begun, and take objects of this stack that the state doesn't
        have into it.

        `ours_alone`: nobody else can have put a stack of this name on the cluster, so that a state
        that is empty was lost. Otherwise such a state may as well be another person's, and nothing
        is taken over. `destroying`: a destroy comes next; the guard that it must pass is put back
        where an interrupted run has none.

        Raises UserError, before anything is changed, for an object of the same name that is not
        this stack's.
        """
        exported = self.pulumi.state(self.stack)
        deployment: dict[str, Any] = exported["deployment"]
        known = state.known_objects(deployment)
        begun = state.pending(deployment)
        live = list(self.objects.list_all(self._namespaces()))
        self._rename_contexts(exported, certain=ours_alone or any(each.is_of(self.stack) for each in live))
        going = [] if destroying else [each.ref for each in live if each.terminating and each.is_of(self.stack)]
        if going:
            self._wait_until_gone(going)
            live = list(self.objects.list_all(self._namespaces()))
        # The engine keeps a pending create also when a later `up` has made the object, which the
        # state then has.
        creating = {
            entry["urn"]: entry
            for kind, entry in begun
            if kind == "creating" and not (state.is_object(entry) and state.ref_of(entry["inputs"]) in known)
        }
        unexplained = self._unexplained(live, known, creating.values())
        resources: list[state.Entry] = deployment.get("resources") or []
        unguarded = destroying and bool(known) and not any(map(state.is_guard, resources))
        unread = {each["urn"] for each in resources if state.is_object(each) and not each.get("outputs")}  # of a heal that was killed
        if not (begun or unexplained or unguarded or going or unread):
            return
        declared = state.missing(deployment, self.pulumi.plan(self.stack)) if unexplained or unguarded else {}
        candidates = {**creating, **declared}
        findings = self._look(entry for entry in candidates.values() if state.is_object(entry))
        self._refuse_strangers(findings.strangers)
        lost = [ref for urn, ref in findings.ours.items() if urn not in creating]
        if lost and not ours_alone and not any(each.ref in known and each.is_of(self.stack) for each in live):
            raise UserError(
                f"the cluster has {_listed(lost)} of stack {self.stack}, and the state in {self.pulumi.backend()} knows nothing of the "
                "cluster: that state was lost, or the objects are another person's stack of the same name.",
                f"Put the state back, or take them over if they are yours: `python -m ops heal --stack {self.stack} --take-over`.",
            )
        added = {urn: candidates[urn] for urn in findings.ours}
        if added or unguarded:
            added |= {urn: entry for urn, entry in candidates.items() if state.runs_nothing_when_made(entry)}
        if begun or added:
            exported["deployment"] = state.graft(deployment, added, declared)
            if state.UNKNOWN in json.dumps(exported):
                raise UserError(
                    f"{_listed(findings.ours.values())}: what the program declares of it is not known before `pulumi up` has run.",
                    "Nothing was changed. Please report this, with the stack's settings.",
                )
            self._import(exported)
        if going:
            self._refresh()
        else:
            self._refresh({*unread, *findings.ours, *(entry["urn"] for _, entry in begun)} & state.urns(exported["deployment"]))
        declared_refs = {state.ref_of(entry["inputs"]) for entry in candidates.values() if state.is_object(entry)}
        self._report(
            findings.ours.values(),
            [entry for _, entry in begun if entry["urn"] not in findings.ours],
            [each.ref for each in unexplained if each.is_of(self.stack) and each.ref not in declared_refs],
        )

    def _rename_contexts(self, exported: dict[str, Any], certain: bool) -> None:
        """Have the state name the settings' context where it names one that no kubeconfig has.

        `certain`: it is the same cluster. Otherwise a destroy would forget what is in the other.
        """
        cluster = self.settings.cluster
        names = [] if self.contexts is None else rename_unknown(exported["deployment"], cluster.identifier, cluster.context, self.contexts)
        if not names:
            return
        said = f"The state names the context {', '.join(map(repr, names))}, which the kubeconfig doesn't have"
        if not certain:
            raise UserError(
                f"{said[0].lower()}{said[1:]}, and the cluster of context {cluster.context!r} has nothing of stack {self.stack}.",
                "Set KUBECONFIG to a file that has it. If it is the same cluster under another name: "
                f"`python -m ops heal --stack {self.stack} --take-over`. Nothing was changed.",
            )
        self._import(exported)
        say(f"{said}: now {cluster.context!r}, as in the settings.")

    def _import(self, exported: Mapping[str, Any]) -> None:
        self.pulumi.ask("stack", "import", "--non-interactive", "--stack", self.stack, stdin=json.dumps(exported))

    def _namespaces(self) -> list[str]:
        settings = self.settings
        return [settings.namespace.name, *([settings.canary_namespace] if settings.canary.enabled else [])]

    def _unexplained(self, live: Iterable[Found], known: set[Ref], creating: Iterable[state.Entry]) -> list[Found]:
        """Objects beside the state that are this stack's, or have a name that this stack would use,
        and that no pending create explains.
        """
        explained = {state.ref_of(entry["inputs"]) for entry in creating if state.is_object(entry)}
        beside = (each for each in live if each.ref not in known and each.ref not in explained)
        return [each for each in beside if each.is_of(self.stack) or self._would_make(each.ref)]

    def _would_make(self, ref: Ref) -> bool:
        """Whether the name is one that the stack's settings give.

        The plan then says so for certain.
        """
        settings = self.settings
        match ref.kind:
            case "Namespace":
                return ref.name in self._namespaces()[0 if settings.namespace.create else 1 :]
            case "StorageClass" | "ResourceQuota":
                here = ref.namespace in ("", settings.namespace.name)
                return here and ref.name in {tier.class_name for tier in settings.tiers.values()}
            case "PersistentVolumeClaim":
                match = re.fullmatch(r"data-(.+)-\d+", ref.name)
                return ref.namespace == settings.namespace.name and match is not None and match[1] in settings.services
            case _:
                return False

    def _look(self, entries: Iterable[state.Entry]) -> Findings:
        """Which of the declared objects are in the cluster."""
        findings = Findings()
        for entry in entries:
            found = self.objects.find(entry["inputs"])
            if found is None:
                continue
            if not found.is_of(self.stack):
                findings.strangers.append(found)
            elif not found.terminating:
                findings.ours[entry["urn"]] = found.ref
        return findings

    def _wait_until_gone(self, going: list[Ref]) -> None:
        """What an interrupted destroy has deleted must be gone first: it can't be brought back, and
        `up` would find it still there.
        """
        left = set(going)
        with step(f"Waiting for what is being deleted ({_listed(going)})"):
            end = time.monotonic() + _DELETION
            while left and time.monotonic() < end:
                time.sleep(0.5)
                left &= {each.ref for each in self.objects.list_all(self._namespaces()) if each.terminating}
        if left:
            held = sorted(left)
            where = f"-n {held[-1].namespace} " if held[-1].namespace else ""
            raise UserError(
                f"still being deleted after {_DELETION:.0f} s, and can't be brought back: {_listed(held)}.",
                f"A claim goes when no pod uses it any more: `kubectl {where}get pods`. Then run this again.",
            )

    def _refuse_strangers(self, strangers: list[Found]) -> None:
        if not strangers:
            return
        lines = "\n".join(f"  {found.ref} ({found.owner()})" for found in strangers[:_SHOWN])
        more = f"\n  … and {len(strangers) - _SHOWN} more" if len(strangers) > _SHOWN else ""
        kinds = dict.fromkeys(found.ref.kind for found in strangers)
        ways = "; or ".join(dict.fromkeys(_WAYS[kind] for kind in kinds if kind in _WAYS))
        raise UserError(
            f"the cluster has objects of the names that stack {self.stack} uses, and they are not the stack's:\n{lines}{more}",
            f"Delete them if nobody needs them{'; or ' if ways else ''}{ways}. Nothing was changed.",
        )

    def _refresh(self, urns: Iterable[str] | None = None) -> None:
        """Have Pulumi read these resources, or all of them, from the cluster.

        It forgets what is gone.
        """
        chosen = [word for urn in sorted(urns or ()) for word in ("--target", urn)]
        if chosen or urns is None:
            self.pulumi.ask("refresh", "--yes", "--skip-preview", "--non-interactive", "--stack", self.stack, *chosen)

    def _report(self, ours: Iterable[Ref], begun: list[state.Entry], undeclared: list[Ref]) -> None:
        taken = list(ours)
        if taken:
            say(f"Taken into the state, where a killed run had not noted them: {_listed(taken)}.")
        if begun:
            names = dict.fromkeys(entry["urn"].rpartition("::")[2] for entry in begun)
            say(f"Begun by a killed run, and done again: {', '.join(names)}.")
        if undeclared:
            say(f"Left alone, with the labels of stack {self.stack} but not declared by it: {_listed(undeclared)}.")


_WAYS = {
    "Namespace": "use the namespace as it is (`pulumi config set --path namespace.create false`), or another one (`namespace.name`)",
    "StorageClass": "give the tier another name under `tiers`",
    "ResourceQuota": "give the tier another name under `tiers`",
    "PersistentVolumeClaim": "give the service another name under `services`",
}


def _listed(refs: Iterable[Ref]) -> str:
    names = [str(ref) for ref in refs]
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
