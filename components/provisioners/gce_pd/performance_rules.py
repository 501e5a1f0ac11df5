"""Rules for IOPS and throughput: the bounds of a disk type, and those at each size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from components.kube.quantity import GI, quantity
from components.provisioners.findings import Finding, RequestedVolume, error, warning
from components.provisioners.gce_pd.limits import (
    BALANCED,
    BALANCED_LEAST,
    BALANCED_PER_GIB,
    EXTREME_LEAST_OF_API,
    EXTREME_PER_GIB,
    FIXED_BELOW,
    HIGHLY_AVAILABLE,
    IOPS_PER_MIB,
    ML_PER_GIB,
    THROUGHPUT_PER_TIB,
    TYPES,
    DiskTypeLimits,
)
from components.provisioners.remedies import Drop, Remedy, Set

# Of quantities such as -208Ti apimachinery makes numbers above 0.
BELOW_ZERO = "below 0: the driver refuses it, or takes it for another number"


class DiskPerformance(NamedTuple):
    """What a disk is to perform.

    `prefix` is where it is written, below the tier; the keys are those of the class.
    `throughput` is in MiB/s.
    A finding's remedy has been held against all the volumes.
    """

    prefix: str
    iops_key: str
    throughput_key: str
    type: str
    iops: int | None
    throughput: int | None

    def check(self, volumes: Sequence[RequestedVolume]) -> Iterator[Finding]:
        """The figures against the type's limits, by themselves and at each size."""
        limits = TYPES[self.type]
        iops = self._iops_that_work(limits, volumes)
        throughput = self._throughput_that_works(limits, volumes, iops)
        iops_remedy, throughput_remedy = _remedy(self.iops_key, iops), _remedy(self.throughput_key, throughput)
        yield from self._settable(self.iops_key, self.iops, limits.iops, "IOPS", iops_remedy)
        yield from self._settable(self.throughput_key, self.throughput, limits.throughput, "MiB/s", throughput_remedy)
        if self.type in BALANCED and iops is not None and self.throughput is not None and self.throughput > iops // IOPS_PER_MIB:
            rule = f"Google's page: at most a quarter of a MiB/s for each IOPS, so {iops // IOPS_PER_MIB} with {iops} IOPS"
            yield warning(self._path(self.throughput_key), self.throughput, rule, throughput_remedy)
        if self.type == "pd-extreme" and self.iops is not None and limits.iops and limits.iops[0] <= self.iops < EXTREME_LEAST_OF_API:
            rule = f"the API's text has at least {EXTREME_LEAST_OF_API} for pd-extreme, Google's page {limits.iops[0]}"
            yield warning(self._path(self.iops_key), self.iops, rule, Set(EXTREME_LEAST_OF_API))
        for volume in volumes:
            yield from self._iops_at(volume, limits, iops_remedy)
            yield from self._throughput_at(volume, limits, throughput_remedy)

    def _path(self, key: str) -> str:
        return f"{self.prefix}{key}"

    def _iops_that_work(self, limits: DiskTypeLimits, volumes: Sequence[RequestedVolume]) -> int | None:
        """The IOPS next to the written ones that all the volumes can have; None without any."""
        if limits.iops is None:
            return None
        return _nearest(self.iops, [limits.iops, *(self._iops_bounds(volume, limits) for volume in volumes)])

    def _throughput_that_works(self, limits: DiskTypeLimits, volumes: Sequence[RequestedVolume], iops: int | None) -> int | None:
        """The throughput next to the written one that all the volumes can have with these IOPS."""
        if limits.throughput is None:
            return None
        bounds = [limits.throughput, *(self._throughput_bounds(volume, limits) for volume in volumes)]
        if self.type in BALANCED and iops is not None:
            bounds.append((limits.throughput[0], max(iops // IOPS_PER_MIB, limits.throughput[0])))
        return _nearest(self.throughput, bounds)

    def _settable(self, key: str, value: int | None, bounds: tuple[int, int] | None, unit: str, remedy: Remedy) -> Iterator[Finding]:
        if value is None:
            return
        if bounds is None:
            yield error(self._path(key), value, f"{self.type} takes no {unit} of its own: the API refuses the disk", Drop(key))
        elif not bounds[0] <= value <= bounds[1]:
            rule = f"from {bounds[0]} to {bounds[1]} {unit} for {self.type}: the API refuses anything else"
            yield error(self._path(key), value, BELOW_ZERO if value < 0 else rule, remedy)

    def _iops_bounds(self, volume: RequestedVolume, limits: DiskTypeLimits) -> tuple[int, int]:
        """The IOPS that a disk of this size can have.

        hyperdisk-balanced: "4Gi needs exactly 2000 IOPS, and 5Gi exactly 2500. Disks 6Gi and more
        need a minimum of 3000" (pull request #2054).
        """
        assert limits.iops is not None
        gib, (least, most) = _possible(volume, limits), limits.iops
        if self.type in BALANCED:
            least = BALANCED_PER_GIB * gib if gib < FIXED_BELOW else BALANCED_LEAST
            most = min(most, max(BALANCED_PER_GIB * gib, least))
        elif self.type == "hyperdisk-extreme":
            least, most = max(least, EXTREME_PER_GIB[0] * gib), min(most, EXTREME_PER_GIB[1] * gib)
        return least, most

    def _iops_at(self, volume: RequestedVolume, limits: DiskTypeLimits, remedy: Remedy) -> Iterator[Finding]:
        if self.iops is None or limits.iops is None or not limits.iops[0] <= self.iops <= limits.iops[1]:
            return
        least, most = self._iops_bounds(volume, limits)
        make = error
        if self.type == HIGHLY_AVAILABLE:
            make = warning  # the figures of its sibling are taken for its own
        elif self.type == "hyperdisk-extreme":
            make = error if self.iops < least else warning
        if not least <= self.iops <= most:
            bounds = f"exactly {least} IOPS" if least == most else f"from {least} to {most} IOPS"
            size = quantity(_possible(volume, limits) * GI)
            rule = f"{bounds} for {self.type} at {size} ({volume.path}): the API refuses anything else"
            yield make(self._path(self.iops_key), self.iops, rule, remedy)

    def _throughput_bounds(self, volume: RequestedVolume, limits: DiskTypeLimits) -> tuple[int, int]:
        """The MiB/s that a disk of this size can have."""
        assert limits.throughput is not None
        gib, (least, most) = _possible(volume, limits), limits.throughput
        if self.type == "hyperdisk-throughput":
            least, most = max(least, math.ceil(THROUGHPUT_PER_TIB[0] * gib / 1024)), min(most, THROUGHPUT_PER_TIB[1] * gib // 1024)
        elif self.type == "hyperdisk-ml":
            least, most = max(least, math.ceil(ML_PER_GIB[0] * gib)), min(most, ML_PER_GIB[1] * gib)
        return least, most

    def _throughput_at(self, volume: RequestedVolume, limits: DiskTypeLimits, remedy: Remedy) -> Iterator[Finding]:
        if self.throughput is None or limits.throughput is None or not limits.throughput[0] <= self.throughput <= limits.throughput[1]:
            return
        least, most = self._throughput_bounds(volume, limits)
        if not least <= self.throughput <= most:
            size = quantity(_possible(volume, limits) * GI)
            rule = f"from {least} to {most} MiB/s for {self.type} at {size} ({volume.path}): the API refuses anything else"
            yield error(self._path(self.throughput_key), self.throughput, rule, remedy)


def _possible(volume: RequestedVolume, limits: DiskTypeLimits) -> int:
    """The size in GiB that the type has next to the volume's.

    Where that is another one, the size is a finding by itself.
    """
    return min(max(volume.gib, limits.gib[0]), limits.gib[1])


def _nearest(written: int | None, bounds: Sequence[tuple[int, int]]) -> int | None:
    """The figure next to the written one that is within all bounds; None where there is none."""
    least, most = max(low for low, _ in bounds), min(high for _, high in bounds)
    return None if written is None or least > most else min(max(written, least), most)


def _remedy(key: str, nearest: int | None) -> Remedy:
    """The figure that works, or the driver's own, without the key."""
    return Drop(key) if nearest is None else Set(nearest)
