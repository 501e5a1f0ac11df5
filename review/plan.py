"""What a preview plans, read from the engine's event log: objects as the program declares them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Planned:
    """An object that the program declares.

    `inputs` are its own words; what a preview can't know is one of the SDK's placeholders.
    `parent` and `provider` are URNs, empty where there is none.
    A component has no object behind it: `custom` is false.
    """

    urn: str
    inputs: Mapping[str, Any]
    custom: bool = True
    protect: bool = False
    parent: str = ""
    provider: str = ""

    @property
    def type(self) -> str:
        """`kubernetes:core/v1:Namespace`."""
        return self.urn.split("::")[2].rsplit("$", 1)[-1]

    @property
    def name(self) -> str:
        """The name within Pulumi."""
        return self.urn.split("::", 3)[3]

    @property
    def title(self) -> str:
        """The object as kubectl names it, `PersistentVolumeClaim data/data-kafka-0`.

        Other things have their name within Pulumi.
        """
        metadata = self.inputs.get("metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        kind = "Provider" if self.type.startswith("pulumi:providers:") else self.type.rsplit(":", 1)[-1]
        name, namespace = metadata.get("name") or self.name, metadata.get("namespace")
        return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


@dataclass(frozen=True)
class PreviewPlan:
    """All that a program declares, by URN, and what the preview said against it.

    That is `errors`, `violations` of policies, and their `advice`, which fails nothing: what is
    advisory, and what a policy exception exempts.
    """

    resources: Mapping[str, Planned]
    errors: tuple[str, ...] = ()
    violations: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()


def read(event_log: Path) -> PreviewPlan:
    """The plan that a `pulumi preview --event-log` has written, of a stack without a state.

    So all of it is to be made. The log is lines of JSON, as the Automation API reads them
    (apitype.EngineEvent). One that a killed engine left unfinished, or none, gives the plan as far
    as it got.
    """
    resources: dict[str, Planned] = {}
    errors: list[str] = []
    violations: list[str] = []
    advice: list[str] = []
    lines = event_log.read_text(encoding="utf-8").splitlines() if event_log.exists() else []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            break
        if planned := event.get("resourcePreEvent", {}).get("metadata"):
            if planned["op"] != "read" and planned.get("new"):
                resources[planned["urn"]] = _planned(planned["new"])
        elif violation := event.get("policyEvent"):
            exempt = _exempt(violation.get("exceptions"))
            said_by = advice if exempt or violation["enforcementLevel"] == "advisory" else violations
            said_by.append(f"{violation['policyName']}: {violation['message'].strip().splitlines()[-1]}{exempt}")
        elif (said := event.get("diagnosticEvent")) and said["severity"] == "error":
            errors.append(" ".join(said["message"].split()))
    return PreviewPlan(resources, tuple(errors), tuple(dict.fromkeys(violations)), tuple(dict.fromkeys(advice)))


def _exempt(exceptions: Sequence[Mapping[str, str]] | None) -> str:
    """Which policy exceptions exempt a violation and why, as ` (exempt by EXC-42: its reason)`.

    Such a violation fails nothing, whatever its enforcement level (apitype.PolicyEvent of engine
    3.274). Empty for any other.
    """
    if not exceptions:
        return ""
    said = (f"{exception['id']}: {' '.join(exception['reason'].split())}" for exception in exceptions)
    return f" (exempt by {', '.join(said)})"


def _planned(declared: Mapping[str, Any]) -> Planned:
    return Planned(
        urn=declared["urn"],
        inputs=declared.get("inputs") or {},
        custom=bool(declared.get("custom")),
        protect=bool(declared.get("protect")),
        parent=declared.get("parent") or "",
        provider=(declared.get("provider") or "").rpartition("::")[0],  # it ends with the provider's id
    )
