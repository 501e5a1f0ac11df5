"""The classes that a tier on EBS gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from components.kinds import TierKind
from components.kube.quantity import GI
from components.provisioners.base import FSTYPE, RESERVED_PREFIX, Provisioner, SnapshotClassFields, StorageClassFields
from components.provisioners.codecs import ExactTruth, class_parameters
from components.provisioners.ebs import rules
from components.provisioners.ebs.parameters import AUTO_MODE_DRIVER, AUTO_MODE_KEY, DRIVER, ZONE_KEY, EbsParameters
from components.provisioners.findings import Finding, RequestedVolume
from components.provisioners.manifest import StorageClassManifest


class Ebs(Provisioner[EbsParameters]):
    """Classes on EBS.

    Volumes grow online, are a whole number of GiB, and belong to one availability zone.
    """

    name = "ebs"
    driver = DRIVER
    caveat = "An EBS volume is in one availability zone, and only nodes of that zone can use it."
    size_unit = GI
    keys_in_any_case = True
    topology_keys: ClassVar[Mapping[str, str]] = {
        ZONE_KEY: "zone",
        "topology.ebs.csi.aws.com/zone": "zone",
        "topology.k8s.aws/zone-id": "other",
        "topology.ebs.csi.aws.com/outpost-id": "other",
        AUTO_MODE_KEY: "other",
    }

    @property
    def drivers(self) -> tuple[str, ...]:
        """The driver that one installs, and the one of EKS Auto Mode."""
        return (DRIVER, AUTO_MODE_DRIVER)

    @property
    def parameters_model(self) -> type[EbsParameters]:
        """All parameters of the driver; zones, mountOptions, snapshots, attributes, autoMode."""
        return EbsParameters

    def defaults(self, kind: TierKind) -> Mapping[str, Any]:
        """gp3, encrypted, with the file system of the kind.

        gp3 has 3,000 IOPS and 125 MiB/s at any size.
        The other types have less than that at a few GiB, or cost more.
        ext4 is what PostgreSQL runs on most, and the driver's own default.
        It mounts on every node's kernel (newer mkfs.xfs makes what old ones refuse).
        Kafka's documentation measured XFS ahead of ext4 for its long appends.
        An XFS volume has no `lost+found` at its root, over which Kafka would stumble.
        noatime spares a write for each read, in both.
        """
        return {"type": "gp3", "encrypted": True, FSTYPE: kind.file_system, "mountOptions": ["noatime"]}

    def findings(self, parameters: EbsParameters, volumes: Sequence[RequestedVolume]) -> Iterator[Finding]:
        """See rules.py."""
        return rules.check(parameters, volumes)

    def storage_class(self, parameters: EbsParameters) -> StorageClassFields:
        """A class whose volumes can grow.

        A restriction to zones has the key that every version of the driver reads.
        """
        expressions = [{"key": ZONE_KEY, "values": list(parameters.zones)}] if parameters.zones else []
        if parameters.auto_mode:
            # Keeps the pods off nodes that Auto Mode doesn't run, which can't attach its volumes
            # (EKS, "Create a storage class").
            expressions.append({"key": AUTO_MODE_KEY, "values": ["auto"]})
        return StorageClassFields(
            parameters=class_parameters(parameters),
            allow_volume_expansion=True,
            mount_options=parameters.mount_options,
            allowed_topologies=[{"match_label_expressions": expressions}] if expressions else [],  # type: ignore[typeddict-item]
            driver=AUTO_MODE_DRIVER if parameters.auto_mode else "",
        )

    def snapshot_class(self, parameters: EbsParameters) -> SnapshotClassFields | None:
        """The driver's parameters for snapshots."""
        wanted = parameters.snapshots
        return SnapshotClassFields(wanted.deletion_policy, class_parameters(wanted)) if wanted is not None else None

    def attributes_classes(self, parameters: EbsParameters) -> Mapping[str, Mapping[str, str]]:
        """The driver's parameters that can be changed."""
        return {name: class_parameters(each) for name, each in parameters.attributes.items()}

    def class_findings(self, manifest: StorageClassManifest) -> Iterator[Finding]:
        """As for every block storage, what Auto Mode needs, and keys that exclude each other."""
        yield from super().class_findings(manifest)
        yield from rules.auto_mode(manifest)
        yield from rules.file_system_keys(manifest)

    def misfit(self, finding: Finding, manifest: StorageClassManifest) -> Finding:
        """A class may have a truth of another form, whose effect is the one that is meant."""
        codec = next((codec for key, codec in self.codecs.items() if key.lower() == finding.path.lower()), None)
        return rules.written_truth(finding, manifest) if isinstance(codec, ExactTruth) else finding

    def why_refused(self, key: str) -> str:
        """What the driver does with an unknown key.

        A key in another case is fine for the driver, but the settings have one spelling.
        """
        if key.lower() in (FSTYPE, "fstype"):
            return f"`{FSTYPE}`, in this case, is the key that every driver takes"
        return "" if key.startswith(RESERVED_PREFIX) else "the driver refuses a class with a parameter that it doesn't know"
