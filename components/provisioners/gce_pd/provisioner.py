"""The classes that a tier on GCE PD gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from components.kinds import STREAMING, TierKind
from components.kube.quantity import GI
from components.provisioners.base import FSTYPE, Provisioner, SnapshotClassFields, StorageClassFields
from components.provisioners.codecs import class_parameters
from components.provisioners.findings import Finding, RequestedVolume, error
from components.provisioners.gce_pd import key_rules, rules
from components.provisioners.gce_pd.parameters import DRIVER, ZONE_KEY, GcePdParameters
from components.provisioners.manifest import StorageClassManifest
from components.provisioners.remedies import Drop, Rename


class GcePd(Provisioner[GcePdParameters]):
    """Classes on Persistent Disk and Hyperdisk.

    Volumes grow online, are a whole number of GiB, and belong to a zone, or to two.
    """

    name = "gce-pd"
    driver = DRIVER
    caveat = "A zonal disk is in one zone, and only nodes of that zone can use it."
    size_unit = GI
    keys_in_any_case = True
    topology_keys: ClassVar[Mapping[str, str]] = {ZONE_KEY: "zone"}

    @property
    def parameters_model(self) -> type[GcePdParameters]:
        """Every parameter of the driver, and zones, mountOptions, snapshots, attributes."""
        return GcePdParameters

    def defaults(self, kind: TierKind) -> Mapping[str, Any]:
        """pd-ssd for databases, pd-balanced for logs, with the file system of the kind.

        Never the driver's pd-standard, a hard disk.
        At a few GiB a disk performs by its type.
        pd-ssd has 30 IOPS a GiB and the shortest sync, which every commit waits for.
        A log is written in long runs, for which pd-balanced has enough at less cost.
        Both can be attached by the usual machine series (E2, N2, N2D, C3).
        The newest (N4, C4) take Hyperdisk alone: there, `type: hyperdisk-balanced`.
        ext4 is what PostgreSQL runs on most, and the driver's own default.
        Kafka's documentation measured XFS ahead of ext4 for its long appends.
        An XFS volume has no `lost+found` at its root, over which Kafka would stumble.
        noatime spares a write for each read, in both.
        """
        return {
            "type": "pd-balanced" if kind == STREAMING else "pd-ssd",
            FSTYPE: kind.file_system,
            "mountOptions": ["noatime"],
        }

    def findings(self, parameters: GcePdParameters, volumes: Sequence[RequestedVolume]) -> Iterator[Finding]:
        """See rules.py."""
        return rules.check(parameters, volumes)

    def storage_class(self, parameters: GcePdParameters) -> StorageClassFields:
        """A class whose volumes can grow.

        A restriction to zones has the one key that the driver reads.
        """
        expressions = [{"key": ZONE_KEY, "values": list(parameters.zones)}]
        return StorageClassFields(
            parameters=class_parameters(parameters),
            allow_volume_expansion=True,
            mount_options=parameters.mount_options,
            allowed_topologies=[{"match_label_expressions": expressions}] if parameters.zones else [],  # type: ignore[typeddict-item]
        )

    def snapshot_class(self, parameters: GcePdParameters) -> SnapshotClassFields | None:
        """The driver's parameters for snapshots."""
        wanted = parameters.snapshots
        return SnapshotClassFields(wanted.deletion_policy, class_parameters(wanted)) if wanted is not None else None

    def attributes_classes(self, parameters: GcePdParameters) -> Mapping[str, Mapping[str, str]]:
        """The driver's parameters that can be changed."""
        return {name: class_parameters(each) for name, each in parameters.attributes.items()}

    def class_findings(self, manifest: StorageClassManifest) -> Iterator[Finding]:
        """As for every block storage, and what the driver makes of the keys as they are written."""
        yield from super().class_findings(manifest)
        yield from key_rules.case_of_keys(manifest)
        yield from key_rules.empty_types(manifest)

    def unknown(self, key: str, value: object) -> Finding:
        """A bare fstype, which EBS takes, is renamed to the right key."""
        return error(key, value, self.why_refused(key), Rename(FSTYPE) if key.lower() == "fstype" else Drop(key))

    def why_refused(self, key: str) -> str:
        """What the driver does with an unknown key.

        Two spellings are ones that documentation has wrong, or that another driver takes.
        """
        if key.lower() in (FSTYPE, "fstype"):
            return f"`{FSTYPE}`, in this case, is the only key for it: the driver refuses a bare `fstype`"
        if key == "use-allowed-disk-topologies":
            return "the driver's own README has this spelling, and the driver refuses it: it is `use-allowed-disk-topology`"
        return "the driver refuses a class with a parameter that it doesn't know"
