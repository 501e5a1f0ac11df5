"""rancher.io/local-path: folders of a node's own disk, for development machines (also what Kind has built in)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from components.provisioners.finding import Finding, error, warning
from components.provisioners.forms import Text, written
from components.provisioners.manifests import WAIT, Manifest, deletes
from components.provisioners.shape import Provisioner, StorageClassFields, TierParameters

# local-path-provisioner 0.0.33 and newer refuse any other beginning (README, "pathPattern"): a volume's folder must not
# be reachable under another claim's name.
PATH_PATTERN_BEGINNING = "{{ .PVC.Namespace }}/{{ .PVC.Name }}/"
VOLUME_TYPE = "defaultVolumeType"  # the provisioner's annotation of a class
_BRACES = re.compile(r"\{\{ *[^{}]+ *\}\}")

UNSAFE = "allowUnsafePathPattern"
_GO_TRUE = ("1", "t", "T", "TRUE", "true", "True")  # strconv.ParseBool, by which the provisioner reads it

# The version that first knew a parameter (release notes of local-path-provisioner). Older ones ignore it without a word.
NEWER_PARAMETERS = {
    UNSAFE: "0.0.34",
    "nodeAffinityKey": "0.0.35",
    "userPattern": "0.0.37",
    "groupPattern": "0.0.37",
    "permPattern": "0.0.37",
}


def _absolute_path(path: str) -> str:
    parts = path.split("/")
    if not path.startswith("/") or path.strip("/") == "" or ".." in parts or "." in parts:
        raise PydanticCustomError("rule", "not an absolute path")
    return path


def _path_pattern(pattern: str) -> str:
    rest = pattern.removeprefix(PATH_PATTERN_BEGINNING)
    literal = _BRACES.sub("x", rest)
    if rest in (pattern, "") or "{" in literal or "}" in literal or ".." in literal.split("/") or literal.startswith("/"):
        raise PydanticCustomError("rule", "not a path pattern")
    return pattern


class LocalPathParameters(TierParameters):
    """A tier's settings on local-path; both are for clusters whose provisioner is set up for them, and may be left out."""

    node_path: Annotated[
        str | None,
        Field(
            description="an absolute folder of the node without `.` and `..`, one of those in the provisioner's own nodePathMap",
            examples=["/var/local-path-provisioner"],
        ),
        Text(),
        AfterValidator(lambda path: path if path is None else _absolute_path(path)),
    ] = None
    path_pattern: Annotated[
        str | None,
        Field(
            description=f"a relative path that begins with `{PATH_PATTERN_BEGINNING}` and goes on "
            "(local-path-provisioner 0.0.33 and newer refuse any other), without `..`",
            examples=[PATH_PATTERN_BEGINNING + "{{ .PVName }}"],
        ),
        Text(),
        AfterValidator(lambda pattern: pattern if pattern is None else _path_pattern(pattern)),
    ] = None


class LocalPath(Provisioner[LocalPathParameters]):
    """Classes on local-path. It can't expand volumes, and ignores size and any parameter it doesn't know."""

    name = "local-path"
    driver = "rancher.io/local-path"
    caveat = "On local-path the data is a folder on one node's disk: the size is not enforced and can't be changed later."
    enforces_size = False
    tied_to_node = True

    @property
    def parameters_model(self) -> type[LocalPathParameters]:
        """`nodePath` and `pathPattern`."""
        return LocalPathParameters

    def storage_class(self, parameters: LocalPathParameters) -> StorageClassFields:
        """A class whose volumes are of the type `local`.

        The provisioner's default, hostPath, makes a folder that was lost anew and empty, without a word, and doesn't apply
        a pod's fsGroup. A `local` volume fails to mount then, gets the fsGroup, and is allowed under Pod Security restricted.
        """
        return StorageClassFields(parameters=written(parameters), annotations={VOLUME_TYPE: "local"})

    def class_findings(self, manifest: Manifest) -> Iterator[Finding]:
        """What local-path makes of the fields of a class that exists already (docs/local-path.md)."""
        if manifest.annotations.get(VOLUME_TYPE) != "local":
            rule = "with the default, hostPath, a lost folder comes back empty, without a word"
            yield warning(f"metadata.annotations.{VOLUME_TYPE}", manifest.annotations.get(VOLUME_TYPE, "(missing)"), rule, "local")
        if manifest.allow_volume_expansion:
            rule = "local-path can't expand a volume: the claim would wait for ever (local-path-provisioner#190)"
            yield error("allowVolumeExpansion", True, rule, "false")
        if manifest.binding_mode != WAIT:
            rule = f"local-path needs the node of a pod, which {manifest.binding_mode} doesn't give: `no node was specified`"
            yield error("volumeBindingMode", manifest.binding_mode, rule, WAIT)
        if manifest.mount_options:
            rule = "local-path drops mount options without a word"
            yield error("mountOptions", list(manifest.mount_options), rule, "without `mountOptions`")
        yield from deletes(manifest)

    def misfit(self, finding: Finding, manifest: Manifest) -> Finding:
        """A class may opt out of the rule for its pathPattern (README, "pathPattern": allowUnsafePathPattern)."""
        unsafe = manifest.parameters.get(UNSAFE, manifest.annotations.get(UNSAFE))
        literal = _BRACES.sub("x", str(finding.value))
        if finding.path != "pathPattern" or str(unsafe) not in _GO_TRUE or "{" in literal or "}" in literal:
            return finding
        rule = f"with `{UNSAFE}` a claim's name can lead to another claim's folder, or out of the provisioner's (CVE-2025-62878)"
        return warning(finding.path, finding.value, rule, finding.works)

    def unknown(self, key: str, value: object) -> Finding:
        """A parameter of newer releases works there; any other is ignored, whoever's it is."""
        make = warning if key in NEWER_PARAMETERS else error
        return make(key, value, self.why_refused(key), f"without `{key}`")

    def why_refused(self, key: str) -> str:
        """For parameters of newer releases, from which release on; for all others that they would be ignored."""
        if key in NEWER_PARAMETERS:
            return f"local-path-provisioner knows it from {NEWER_PARAMETERS[key]} on, and older ones ignore it without a word"
        return "local-path ignores parameters that it doesn't know, without a word"
