"""Rules for IOPS and throughput: the bounds of a volume type, and those at each size.

Here is the rule that caps the IOPS of gp3; its numbers are in limits.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from components.kube.quantity import GI, quantity
from components.provisioners.ebs.limits import IOPS_PER_MIB, MOST_WITHOUT_NITRO, OLD_GP3, TYPES, VolumeTypeLimits
from components.provisioners.findings import Finding, RequestedVolume, error, warning
from components.provisioners.remedies import Add, Advice, Drop, Remedy, Rename, Set


class EbsPerformance(NamedTuple):
    """What a volume is to perform.

    `prefix` is where it is written, below the tier. `throughput` is in MiB/s.
    `increase` is allowAutoIOPSPerGBIncrease, `per_gib_key` the key of `iops_per_gib`.
    A finding's remedy has been held against all the volumes, and against the other figures as they
    will be when they work.
    """

    prefix: str
    type: str
    iops: int | None
    iops_per_gib: int | None
    throughput: int | None
    increase: bool = False
    per_gib_key: str = "iopsPerGB"

    def check(self, volumes: Sequence[RequestedVolume]) -> Iterator[Finding]:
        """The figures against the type's limits, by themselves; an unknown type has none."""
        limits, figures = TYPES.get(self.type), self._in_effect()
        if limits is not None:
            if figures is not self:
                key = "iops" if figures.iops is None else self.per_gib_key
                yield warning(self._path(key), 0, "0 is as good as none: the driver takes the other figure", Drop(key))
            yield from figures._iops(limits, volumes)
            yield from figures._throughput(limits, volumes)

    def check_at(self, volume: RequestedVolume, volumes: Sequence[RequestedVolume]) -> Iterator[Finding]:
        """IOPS for each GiB at the size of `volume`, one of `volumes`.

        The driver lowers what is above the ceiling, and since September 2026 also what is below the
        floor (aws-ebs-csi-driver#3021).
        What it sends on, EC2 refuses: "Iops to volume size ratio of 750.000000 is too high; maximum
        is 500".
        A gp3 of any size may have 3,000 (kops#10843).
        """
        limits, figures = TYPES.get(self.type), self._in_effect()
        if limits is None or limits.iops is None or (figures.iops is not None and figures.iops_per_gib is not None):
            return
        yield from figures._at(limits, limits.iops, volume, volumes)

    def _in_effect(self) -> EbsPerformance:
        """The figures without the one that is 0 beside another: to the driver it is none."""
        if self.iops == 0 and self.iops_per_gib:
            return self._replace(iops=None)
        return self._replace(iops_per_gib=None) if self.iops_per_gib == 0 and self.iops else self

    def _at(
        self, limits: VolumeTypeLimits, bounds: tuple[int, int], volume: RequestedVolume, volumes: Sequence[RequestedVolume]
    ) -> Iterator[Finding]:
        """One of the two figures, at the size of `volume`."""
        least, most = bounds
        ceiling, at = _highest_iops(limits, [volume]), _at(volume)
        if self.iops is not None and ceiling < self.iops <= most:
            rule = f"at most {limits.iops_per_gib} IOPS a GiB for {self.type}, so {ceiling} {at}: the driver lowers it or EC2 refuses it"
            yield error(self._path("iops"), self.iops, rule, Set(_highest_iops(limits, volumes)))
        per_gib = self.iops_per_gib
        if per_gib is None or not 1 <= per_gib <= limits.iops_per_gib:
            return
        total = per_gib * volume.gib
        product, (_, remedy) = f"{per_gib} IOPS a GiB is {total} {at}", self._per_gib_that_works(limits, volumes)
        if total > most:
            rule = f"at most {most} IOPS for {self.type}, and {product}: the driver lowers it without a word"
            yield error(self._path(self.per_gib_key), per_gib, rule, remedy)
        elif total < least and not self.increase:
            rule = f"at least {least} IOPS for {self.type}, and {product}: EC2 refuses or raises it"
            yield error(self._path(self.per_gib_key), per_gib, rule, remedy)
        elif total > (usual := OLD_GP3["iops"] if self.type == "gp3" else MOST_WITHOUT_NITRO):
            rule = f"{product}: {self._why_fewer(usual)}"
            fits = max(1, min(per_gib, *(usual // each.gib for each in volumes)))
            enough = self.increase or all(fits * each.gib >= least for each in volumes)
            yield warning(
                self._path(self.per_gib_key), per_gib, rule, Set(fits) if enough else Advice("sizes that are nearer to each other")
            )

    def _why_fewer(self, usual: int) -> str:
        """Why a volume may have no more than the `usual` IOPS, though EC2's limit is higher."""
        if self.type == "gp3":
            return f"above {usual} needs driver 1.50 or newer that can ask EC2 for its limits: any other lowers it without a word"
        return f"instances that aren't built on Nitro give at most {usual} IOPS"

    def _path(self, key: str) -> str:
        return f"{self.prefix}{key}"

    def _iops(self, limits: VolumeTypeLimits, volumes: Sequence[RequestedVolume]) -> Iterator[Finding]:
        """The driver sends iops for every type, and lowers what is above a maximum that it knows.

        EC2 wants them for io1 and io2 (aws-ebs-csi-driver#766).
        """
        if self.iops is not None and self.iops_per_gib is not None:
            rule = f"either iops or {self.per_gib_key}, not both: the driver refuses the class"
            yield error(self._path("iops"), self.iops, rule, Drop(self.per_gib_key))
            return
        wanted = {"iops": self.iops, self.per_gib_key: self.iops_per_gib}
        given = [(key, value) for key, value in wanted.items() if value is not None]
        if limits.iops is None:
            for key, value in given:
                rule = f"{self.type} takes no IOPS, its size decides: EC2 refuses what the driver sends. gp3, io1 and io2 take it"
                yield error(self._path(key), value, rule, Drop(key))
            return
        if not given and self.type in ("io1", "io2") and not self.prefix:
            rule = f"{self.type} needs iops or iopsPerGB: EC2 refuses a volume without (`The parameter iops must be specified`)"
            yield error("iops", "(missing)", rule, Set(limits.iops[0]))
        if self.iops is not None:
            yield from self._iops_in_all(self.iops, limits.iops, _highest_iops(limits, volumes))
        if self.iops_per_gib is not None and not 1 <= self.iops_per_gib <= limits.iops_per_gib:
            rule = f"from 1 to {limits.iops_per_gib} IOPS a GiB for {self.type}: the driver lowers more than that without a word"
            yield error(self._path(self.per_gib_key), self.iops_per_gib, rule, self._per_gib_that_works(limits, volumes)[1])

    def _iops_in_all(self, iops: int, bounds: tuple[int, int], highest: int) -> Iterator[Finding]:
        """`iops` at any size; `highest` is the most that all the volumes can have."""
        least, most = bounds
        path = self._path("iops")
        if iops > most:
            yield error(path, iops, f"at most {most} for {self.type}: the driver lowers it without a word", Set(highest))
        elif iops < least and not (self.increase and iops > 0):
            what = "EC2 raises it without a word" if self.type == "gp3" else "EC2 refuses it"
            yield error(path, iops, f"at least {least} for {self.type}: {what}", Set(least))
        elif self.type == "gp3" and iops > OLD_GP3["iops"]:
            yield warning(path, iops, self._why_fewer(OLD_GP3["iops"]), Set(min(OLD_GP3["iops"], highest)))
        elif self.type in ("io1", "io2") and iops > MOST_WITHOUT_NITRO:
            yield warning(path, iops, self._why_fewer(MOST_WITHOUT_NITRO), Set(min(MOST_WITHOUT_NITRO, highest)))

    def _throughput(self, limits: VolumeTypeLimits, volumes: Sequence[RequestedVolume]) -> Iterator[Finding]:
        """Throughput is for gp3 alone; EC2 wants four IOPS for each MiB/s."""
        if self.throughput is None:
            return
        path = self._path("throughput")
        if limits.throughput is None:
            rule = f"{self.type} takes no throughput: the driver drops it, or EC2 refuses it. gp3 takes it"
            yield error(path, self.throughput, rule, Drop("throughput"))
            return
        least, most = limits.throughput
        fastest = min([most, *(iops // IOPS_PER_MIB for iops, _ in self._iops_in_the_end(limits, volumes))])
        if not least <= self.throughput <= most:
            rule = f"from {least} to {most} MiB/s for {self.type}: EC2 refuses anything else"
            yield error(path, self.throughput, rule, Set(min(max(self.throughput, least), fastest)))
            return
        for iops, where in self._iops_in_the_end(limits, volumes):
            if self.throughput > iops // IOPS_PER_MIB:
                rule = f"at most 0.25 MiB/s for each IOPS, so {iops // IOPS_PER_MIB} with {iops} IOPS{where}: EC2 refuses it"
                yield error(path, self.throughput, rule, Set(fastest))
        if self.throughput > OLD_GP3["throughput"]:
            rule = f"above {OLD_GP3['throughput']} MiB/s since 2025: a region that hasn't it yet refuses the volume"
            yield warning(path, self.throughput, rule, Set(min(OLD_GP3["throughput"], fastest)))

    def _iops_in_the_end(self, limits: VolumeTypeLimits, volumes: Sequence[RequestedVolume]) -> Iterator[tuple[int, str]]:
        """The IOPS that a volume has when its figures work, and in words where.

        They differ from size to size with IOPS for each GiB alone.
        """
        assert limits.iops is not None
        if self.iops is not None or self.iops_per_gib is None:
            iops = min(max(limits.iops[0], self.iops or 0), _highest_iops(limits, volumes))
            smallest = min(volumes, key=lambda volume: volume.gib, default=None)
            yield iops, f" {_at(smallest)}" if smallest and iops < (self.iops or 0) else ""
            return
        per_gib, _ = self._per_gib_that_works(limits, volumes)
        for volume in volumes:
            yield min(max(limits.iops[0], per_gib * volume.gib), _highest_iops(limits, [volume])), f" {_at(volume)}"

    def _per_gib_that_works(self, limits: VolumeTypeLimits, volumes: Sequence[RequestedVolume]) -> tuple[int, Remedy]:
        """The IOPS a GiB next to the written ones that suit all the volumes, and as a remedy.

        Small volumes need more for the type's least than it takes for each GiB.
        Then the driver has to raise them, which it doesn't do for a VolumeAttributesClass.
        """
        assert limits.iops is not None
        (least, most), written = limits.iops, self.iops_per_gib or 0
        highest = max(1, min([limits.iops_per_gib, *(most // volume.gib for volume in volumes)]))
        lowest = 1 if self.increase else max([1, *(math.ceil(least / volume.gib) for volume in volumes)])
        if lowest <= highest:
            works = min(max(written, lowest), highest)
            return works, Set(works)
        works = min(max(written, 1), highest)
        if self.prefix:
            return works, Rename("iops", least, without=self.per_gib_key)
        raised = {"allowAutoIOPSPerGBIncrease": True}
        return works, Add(raised) if works == written else Set(works, with_=raised)


def _highest_iops(limits: VolumeTypeLimits, volumes: Sequence[RequestedVolume]) -> int:
    """The most IOPS that each of the volumes can have."""
    assert limits.iops is not None
    least, most = limits.iops
    return min([most, *(max(least, limits.iops_per_gib * volume.gib) for volume in volumes)])


def _at(volume: RequestedVolume) -> str:
    return f"at {quantity(volume.gib * GI)} ({volume.path})"
