"""The policy pack's wiring: each rule of rules.py by its name, described by its own text."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

# The pack runs beside programs of any kind, from any folder: its modules are the project's, which
# is the folder above.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from policy import rules
from policy.resources import DeclaredResource, of_policy, with_items


class _Configured(Protocol):
    def get_config(self) -> Any: ...  # noqa: ANN401 - of the SDK, which has no types here
    def not_applicable(self, reason: str | None = None) -> None: ...


def _option(given: _Configured, name: str) -> Any:  # noqa: ANN401
    """A value of the rule's own config; without one the rule says that it doesn't apply."""
    found = given.get_config().get(name)
    if not found:
        given.not_applicable(f"the pack's config gives no `{name}`")  # it raises
    return found


def _name(rule: Callable[..., Any]) -> str:
    return rule.__name__.replace("_", "-")


def _about(rule: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(rule) or "").split())


def on_resources(rule: Callable[..., rules.Violations], option: str = "", schema: dict[str, Any] | None = None) -> Policy:
    """A rule that looks at one resource at a time, and at the value of its config's `option`."""

    def validate(given: ResourceValidationArgs, report: ReportViolation) -> None:
        options = [_option(given, option)] if option else []
        for resource in with_items(of_policy(given)):
            for message in rule(resource, *options):
                report(message, None)

    config = PolicyConfigSchema({option: schema}) if schema else None
    return ResourceValidationPolicy(_name(rule), _about(rule), validate, config_schema=config)


def on_the_stack(
    validate: Callable[[list[DeclaredResource], StackValidationArgs], rules.Violations],
    rule: Any,  # noqa: ANN401
    schema: dict[str, Any],
    level: EnforcementLevel | None = None,
) -> Policy:
    """A rule that looks at all resources together."""

    def check(given: StackValidationArgs, report: ReportViolation) -> None:
        for message in validate([each for resource in given.resources for each in with_items(of_policy(resource))], given):
            report(message, None)

    return StackValidationPolicy(_name(rule), _about(rule), check, level, PolicyConfigSchema(schema))


NAMES = {"type": "array", "items": {"type": "string"}}
QUANTITY = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?([kMGTPE]|[KMGTPE]i|[eE][0-9]{1,2})?$"}
LIMITS = {"type": "object", "additionalProperties": QUANTITY}

PolicyPack(
    "storage-tiers",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[
        on_resources(rules.reclaim_policy_retain),
        on_resources(rules.wait_for_first_consumer),
        on_resources(rules.never_the_default_class),
        on_resources(rules.known_provisioner),
        on_resources(rules.encrypted_on_cloud),
        on_resources(rules.single_writer_access),
        on_resources(rules.no_host_folders),
        on_resources(rules.claims_on_allowed_tiers, "classes", NAMES),
        on_the_stack(
            lambda resources, given: rules.claims_within_allocation(resources, _option(given, "limits")),
            rules.claims_within_allocation,
            {"limits": LIMITS},
        ),
        on_resources(rules.project_labels),
        on_the_stack(
            lambda resources, given: rules.production_is_protected(resources, given.get_config().get("stacks")),
            rules.production_is_protected,
            {"stacks": NAMES},
        ),
        on_the_stack(lambda resources, _: rules.storage_out_of_sight(resources), rules.storage_out_of_sight, {}, EnforcementLevel.ADVISORY),
    ],
)
