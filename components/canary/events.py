"""Kubernetes' events about a proof's pods and claim."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from components.canary import objects
from components.canary.manifests import CONTAINER
from components.kube.api import KubeApi

_CONTAINER = re.compile(r"spec\.containers\{(.+)\}")  # an event's fieldPath, as the kubelet writes it


@dataclass(frozen=True)
class Event:
    """One event. `type` is Normal or Warning; `about` is its object, for example `pod/x`."""

    type: str
    reason: str
    about: str
    message: str
    container: str = ""
    """Of the pod's main containers the one that it is about; empty where it is about none alone."""

    @property
    def is_warning(self) -> bool:
        """Whether it tells of trouble."""
        return self.type == "Warning"

    def __str__(self) -> str:
        return f"{self.type} {self.reason} {self.about}: {self.message}"

    @classmethod
    def of(cls, found: dict[str, Any]) -> Event:
        """From the API's JSON."""
        about = found["involvedObject"]
        return cls(
            found.get("type") or "",
            found.get("reason") or "",
            f"{about.get('kind', '').lower()}/{about.get('name', '')}",
            found.get("message") or "",
            match[1] if (match := _CONTAINER.fullmatch(about.get("fieldPath") or "")) else "",
        )


def events_about(api: KubeApi, namespace: str, uids: Collection[str]) -> list[Event]:
    """The events about the objects with these UIDs, oldest first. Raises ApiError."""
    found = [each for each in api.items(objects.namespaced(namespace, "events")) if each["involvedObject"].get("uid") in uids]
    return [Event.of(each) for each in sorted(found, key=_time)]


def has_reason(events: Sequence[Event], *reasons: str) -> bool:
    """Whether there is an event of one of these reasons."""
    return any(event.reason in reasons for event in events)


def last_warning(events: Sequence[Event], about: str = "") -> str:
    """The message of the newest warning whose reason has `about` in it; empty without one.

    What befalls a container that somebody has added beside the probe's is no reason for anything.
    """
    own = (event for event in reversed(events) if event.container in ("", CONTAINER))
    return next((event.message for event in own if event.is_warning and about in event.reason), "")


def _time(found: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(found.get("lastTimestamp") or found.get("eventTime") or found["metadata"]["creationTimestamp"])
