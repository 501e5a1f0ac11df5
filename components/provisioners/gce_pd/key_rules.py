"""Rules for the keys of a class that is there already: their case, and empty values.

The settings have none of these: they know their keys.
"""

from __future__ import annotations

from collections.abc import Iterator

from components.provisioners.findings import Finding, error
from components.provisioners.gce_pd.limits import DYNAMIC
from components.provisioners.manifest import StorageClassManifest
from components.provisioners.remedies import Drop, Rename

_OF_DYNAMIC = ("hyperdisk-type", "pd-type", "disk-type-preference")


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
