"""What local-path makes of a class: it ignores what it doesn't know (docs/local-path.md)."""

from __future__ import annotations

from collections.abc import Iterator

from components.provisioners.findings import Finding, error, warning
from components.provisioners.local_path.parameters import TEMPLATE
from components.provisioners.manifest import WAIT, StorageClassManifest
from components.provisioners.remedies import Drop, Set
from components.provisioners.shared_rules import deletes

VOLUME_TYPE = "defaultVolumeType"  # the provisioner's annotation of a class
UNSAFE = "allowUnsafePathPattern"
_GO_TRUE = ("1", "t", "T", "TRUE", "true", "True")  # strconv.ParseBool, by which the provisioner reads it

# The version that first knew a parameter (release notes of local-path-provisioner).
# Older ones ignore it without a word.
NEWER_PARAMETERS = {
    UNSAFE: "0.0.34",
    "nodeAffinityKey": "0.0.35",
    "userPattern": "0.0.37",
    "groupPattern": "0.0.37",
    "permPattern": "0.0.37",
}


def fields(manifest: StorageClassManifest) -> Iterator[Finding]:
    """The fields of a class that exists already."""
    if manifest.annotations.get(VOLUME_TYPE) != "local":
        rule = "with the default, hostPath, a lost folder comes back empty, without a word"
        value = manifest.annotations.get(VOLUME_TYPE, "(missing)")
        yield warning(f"metadata.annotations.{VOLUME_TYPE}", value, rule, Set("local"))
    if manifest.allow_volume_expansion:
        rule = "local-path can't expand a volume: the claim would wait for ever (local-path-provisioner#190)"
        yield error("allowVolumeExpansion", True, rule, Set(False))
    if manifest.binding_mode != WAIT:
        rule = f"local-path needs the node of a pod, which {manifest.binding_mode} doesn't give: `no node was specified`"
        yield error("volumeBindingMode", manifest.binding_mode, rule, Set(WAIT))
    if manifest.mount_options:
        rule = "local-path drops mount options without a word"
        yield error("mountOptions", list(manifest.mount_options), rule, Drop("mountOptions", ignored=True))
    yield from deletes(manifest)


def path_pattern(finding: Finding, manifest: StorageClassManifest) -> Finding:
    """What becomes of a value that the settings refuse with `finding`.

    A class may opt out of the rule for its pathPattern, as the settings may not
    (README, "pathPattern": allowUnsafePathPattern).
    """
    unsafe = manifest.parameters.get(UNSAFE, manifest.annotations.get(UNSAFE))
    literal = TEMPLATE.sub("x", str(finding.value))
    if finding.path != "pathPattern" or str(unsafe) not in _GO_TRUE or "{" in literal or "}" in literal:
        return finding
    rule = f"with `{UNSAFE}` a claim's name can lead to another claim's folder, or out of the provisioner's (CVE-2025-62878)"
    return warning(finding.path, finding.value, rule, finding.remedy)


def unknown(key: str, value: object) -> Finding:
    """A parameter of newer releases works there; any other is ignored, whoever's it is."""
    make = warning if key in NEWER_PARAMETERS else error
    return make(key, value, why_ignored(key), Drop(key, ignored=key not in NEWER_PARAMETERS))


def why_ignored(key: str) -> str:
    """From which release on a parameter is known, or that it would be ignored."""
    if key in NEWER_PARAMETERS:
        return f"local-path-provisioner knows it from {NEWER_PARAMETERS[key]} on, and older ones ignore it without a word"
    return "local-path ignores parameters that it doesn't know, without a word"
