"""The kinds of a tier: what it is for, and what follows from that.

The setting `tiers.<name>.kind` names one.

This is the only place that says what a kind is. A provisioner decides by it what its volumes are
like (see its `defaults`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple


class TierKind(NamedTuple):
    """What a tier is for.

    `purpose` is a sentence for the descriptions of classes and claims. `file_system` is what block
    storage gets where the settings name none: ext4 or xfs. `profile` is the way in which the
    canary's probe writes and reads (`--profile` of canary/probe.py).
    """

    name: str
    purpose: str
    file_system: Literal["ext4", "xfs"]
    profile: Literal["database", "streaming"]


# ext4 is what PostgreSQL runs on most, and the CSI drivers' own default.
DATABASE = TierKind(
    name="database",
    purpose="For databases such as PostgreSQL: random I/O, ACID transactions, every commit synced.",
    file_system="ext4",
    profile="database",
)

# Kafka's documentation measured XFS ahead of ext4 for its long appends ("Filesystem Selection"). An
# XFS volume has no `lost+found` at its root, over which Kafka would stumble.
STREAMING = TierKind(
    name="streaming",
    purpose="For logs such as Kafka's: sequential I/O, high throughput, data replicated by the brokers.",
    file_system="xfs",
    profile="streaming",
)

# A tier that is called like a kind is of that kind unless its settings say otherwise; for any other
# name the settings must say.
KINDS: Mapping[str, TierKind] = {kind.name: kind for kind in (DATABASE, STREAMING)}
