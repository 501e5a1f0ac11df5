"""Rules for a tier's VolumeSnapshotClass."""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.provisioners.findings import Finding, error, warning
from components.provisioners.gce_pd.label_rules import labels, resource_tags
from components.provisioners.gce_pd.parameters import GcePdSnapshots
from components.provisioners.remedies import Drop, Set

_PATH = "snapshots."
_LOCATION = re.compile(r"[a-z]+|[a-z]+-[a-z]+[0-9]{1,2}")


def snapshots(s: GcePdSnapshots) -> Iterator[Finding]:
    """All rules for snapshots."""
    yield from labels(s.labels, f"{_PATH}labels")
    yield from resource_tags(s.resource_tags, f"{_PATH}resource-tags")
    if s.storage_locations is not None and not _LOCATION.fullmatch(s.storage_locations.strip().lower()):
        rule = "one region (europe-west1) or multi-region (eu): the driver refuses the class"
        yield error(f"{_PATH}storage-locations", s.storage_locations, rule, Set("eu"))
    if s.snapshot_type is not None and s.snapshot_type not in ("snapshots", "images"):
        rule = "snapshots or images: the driver refuses the class"
        yield error(f"{_PATH}snapshot-type", s.snapshot_type, rule, Set("snapshots"))
    if s.image_family is not None and s.snapshot_type != "images":
        rule = "for `snapshot-type: images` alone: it has no effect"
        yield warning(f"{_PATH}image-family", s.image_family, rule, Drop("image-family"))
