"""Rules for the keys of a class that is there already: their case, empty values, near misses.

The settings have none of these: they know their keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from components.provisioners.base import FSTYPE
from components.provisioners.findings import Finding, error
from components.provisioners.gce_pd.limits import DYNAMIC
from components.provisioners.gce_pd.parameters import IOPS, THROUGHPUT
from components.provisioners.manifest import StorageClassManifest
from components.provisioners.remedies import Drop, Remedy, Rename

_OF_DYNAMIC = ("hyperdisk-type", "pd-type", "disk-type-preference")

# What people write, without hyphens, and which key that is.
_MEANT = {
    "fstype": FSTYPE,
    "filesystem": FSTYPE,
    "filesystemtype": FSTYPE,
    "iops": IOPS,
    "provisionediops": IOPS,
    "throughput": THROUGHPUT,
    "provisionedthroughput": THROUGHPUT,
    "disktype": "type",
    "volumetype": "type",
    "replication": "replication-type",
    "kmskey": "disk-encryption-kms-key",
    "kmskeyid": "disk-encryption-kms-key",
    "kmskeyname": "disk-encryption-kms-key",
    "encryptionkmskey": "disk-encryption-kms-key",
    "diskencryptionkey": "disk-encryption-kms-key",
    "label": "labels",
    "tags": "resource-tags",
    "resourcetag": "resource-tags",
    "storagepool": "storage-pools",
    "confidentialstorage": "enable-confidential-storage",
    "enableconfidentialcompute": "enable-confidential-storage",
    "datacache": "data-cache-size",
    "multizoneprovisioning": "enable-multi-zone-provisioning",
    "usealloweddisktopologies": "use-allowed-disk-topology",
}


def case_of_keys(manifest: StorageClassManifest) -> Iterator[Finding]:
    """Keys that the driver looks up a second time, in lower case alone."""
    written = {key.lower(): str(value).lower() for key, value in manifest.parameters.items()}
    looked_up: dict[str, tuple[str, ...]] = {}
    if written.get("enable-confidential-storage") == "true":
        looked_up["enable-confidential-storage: true"] = ("disk-encryption-kms-key",)
    if written.get("type") == DYNAMIC:
        others = any(key in written for key in _OF_DYNAMIC)
        looked_up["type: dynamic"] = (*(("type",) if others else ()), *_OF_DYNAMIC)
    if written.get("data-cache-size") and "data-cache-mode" not in written:
        looked_up["data-cache-mode: writethrough"] = ("data-cache-size",)
    for setting, keys in looked_up.items():
        for key, value in manifest.parameters.items():
            if key.lower() in keys and key not in keys and value != "":
                rule = f"with `{setting}` the driver looks for `{key.lower()}` in lower case alone, and doesn't find this"
                yield error(key, value, rule, Rename(key.lower()))


def empty_types(manifest: StorageClassManifest) -> Iterator[Finding]:
    """Keys of a dynamic class, which the driver refuses in any other even when they are empty."""
    kind = next((str(value).lower() for key, value in manifest.parameters.items() if key.lower() == "type"), "")
    for key, value in manifest.parameters.items():
        if kind != DYNAMIC and key.lower() in ("hyperdisk-type", "pd-type") and value == "":
            yield error(key, value, f"it needs `type: {DYNAMIC}`: the driver refuses the class", Drop(key))


def meant(key: str, value: object, known: Iterable[str]) -> Remedy:
    """What becomes of a key that the driver doesn't know: it is renamed where it is a near miss."""
    bare = _bare(key)
    to = next((each for each in known if _bare(each) == bare), _MEANT.get(bare))
    if to is None:
        return Drop(key)
    if to == THROUGHPUT and str(value).isdigit():
        return Rename(to, f"{value}Mi")  # of other drivers, in MiB/s
    return Rename(to)


def _bare(key: str) -> str:
    """A key without what people spell differently."""
    return key.lower().replace("-", "").replace("_", "")
