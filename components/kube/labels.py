"""The labels by which a stack's objects are found.

They are Kubernetes' recommended ones (`app.kubernetes.io/…`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PROJECT = "storage-tiers"  # the name in Pulumi.yaml
PART_OF = "app.kubernetes.io/part-of"
INSTANCE = "app.kubernetes.io/instance"
NAME = "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"
MANAGED_BY = "app.kubernetes.io/managed-by"
CANARY = "storage-tiers-canary"  # manages what a canary needs for a moment, volumes included; not pulumi


def recommended(name: str, stack: str, component: str) -> dict[str, str]:
    """Labels of an object.

    They say the `name` of the application, the `stack` as its instance, and the `component` (a
    tier) that it belongs to.
    """
    return {
        **of_stack(stack),
        NAME: name,
        COMPONENT: component,
        MANAGED_BY: "pulumi",
    }


def of_stack(stack: str) -> dict[str, str]:
    """The two labels that tell a stack's objects from all others in a namespace or cluster."""
    return {PART_OF: PROJECT, INSTANCE: stack}


def of(item: Mapping[str, Any]) -> Mapping[str, str]:
    """The labels of an object, given as the API's JSON."""
    found: Mapping[str, str] = item["metadata"].get("labels") or {}
    return found


def stack_of(found: Mapping[str, str]) -> str:
    """The stack of this project that labels name; empty where they name none."""
    return found.get(INSTANCE, "") if found.get(PART_OF) == PROJECT else ""


def are_of_canary(found: Mapping[str, str]) -> bool:
    """Whether labels are those of what a canary made: for a moment, and for it alone to touch."""
    return found.get(MANAGED_BY) == CANARY


def selector_of_stack(stack: str) -> str:
    """The label selector for a stack's objects."""
    return ",".join(f"{name}={value}" for name, value in of_stack(stack).items())
