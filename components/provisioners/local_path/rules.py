"""What local-path makes of a class: it ignores what it doesn't know (docs/local-path.md).

Source: provisioner.go of local-path-provisioner 0.0.30 (built for the dev cluster) and of 0.0.33 to
0.0.37, and their release notes.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from components.provisioners.findings import Finding, error, warning
from components.provisioners.local_path.parameters import PATH_PATTERN_BEGINNING
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
    kind = manifest.annotations.get(VOLUME_TYPE, "(missing)")
    if kind.lower() not in ("local", "hostpath", "(missing)"):
        rule = f'local or hostPath: `"{kind}" is not a recognised volume type`, and no volume is made'
        yield error(f"metadata.annotations.{VOLUME_TYPE}", kind, rule, Set("local"))
    elif kind.lower() != "local":
        rule = "with the default, hostPath, a lost folder comes back empty, without a word"
        yield warning(f"metadata.annotations.{VOLUME_TYPE}", kind, rule, Set("local"))
    if manifest.allow_volume_expansion:
        rule = "local-path can't expand a volume: the claim would wait for ever (local-path-provisioner#190)"
        yield error("allowVolumeExpansion", True, rule, Set(False))
    if manifest.binding_mode != WAIT:
        rule = (
            f"local-path needs the node of a pod, which {manifest.binding_mode} doesn't give: `no node was specified`; "
            "where the provisioner is set up for a shared file system (sharedFileSystemPath) it needs none"
        )
        yield warning("volumeBindingMode", manifest.binding_mode, rule, Set(WAIT))
    if manifest.mount_options:
        rule = "local-path drops mount options without a word"
        yield error("mountOptions", list(manifest.mount_options), rule, Drop("mountOptions", ignored=True))
    yield from deletes(manifest)


def path_pattern(finding: Finding, manifest: StorageClassManifest) -> Finding:
    """What becomes of a value that the settings refuse with `finding`.

    A class may opt out of the rule for its pathPattern, as the settings may not
    (README, "pathPattern": allowUnsafePathPattern).
    """
    if finding.path != "pathPattern":
        return finding
    from components.provisioners.go_template import TemplateError  # noqa: PLC0415 - as in parameters.py
    from components.provisioners.local_path.path_pattern import read_pattern  # noqa: PLC0415

    try:
        pattern = read_pattern(str(finding.value))
    except TemplateError as problem:
        return error(finding.path, finding.value, f"no template that Go can execute, so no volume is made: {problem}", finding.remedy)
    unsafe = manifest.parameters.get(UNSAFE, manifest.annotations.get(UNSAFE))
    make, rule = error, finding.rule
    if str(unsafe) in _GO_TRUE:
        make, rule = (
            warning,
            f"with `{UNSAFE}` a claim's name can lead to another claim's folder, or out of the provisioner's (CVE-2025-62878)",
        )
    elif pattern.climbs:
        rule = "`..` leads out of the claim's own folder (CVE-2025-62878)"
    elif pattern.begins is None:
        rule = f"the path of a claim has to begin with `{PATH_PATTERN_BEGINNING}`, as it is rendered, and here there is no telling"
        make = warning
    elif pattern.for_some:
        rule = (
            f"for claims of the namespace and name that are written here alone: any other path has to begin with `{PATH_PATTERN_BEGINNING}`"
        )
        make = warning
    return make(finding.path, finding.value, rule, finding.remedy)


def node_path(path: str | None) -> Iterator[Finding]:
    """A nodePath is compared with the provisioner's own, which are cleaned (canonicalizeConfig)."""
    if path and path != (clean := "/" + posixpath.normpath(path).strip("/")):
        rule = "it is compared with the paths of the provisioner's nodePathMap, which have no `/` at the end and no `//`: no volume is made"
        yield error("nodePath", path, rule, Set(clean))


def unknown(key: str, value: object) -> Finding:
    """A parameter of newer releases works there; any other is ignored, whoever's it is."""
    make = warning if key in NEWER_PARAMETERS else error
    return make(key, value, why_ignored(key), Drop(key, ignored=key not in NEWER_PARAMETERS))


def why_ignored(key: str) -> str:
    """From which release on a parameter is known, or that it would be ignored."""
    if key in NEWER_PARAMETERS:
        return f"local-path-provisioner knows it from {NEWER_PARAMETERS[key]} on, and older ones ignore it without a word"
    return "local-path ignores parameters that it doesn't know, without a word"
