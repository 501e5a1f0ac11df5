"""The classes that a tier on local-path gets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from components.provisioners.base import Provisioner, StorageClassFields
from components.provisioners.codecs import class_parameters
from components.provisioners.findings import Finding, RequestedVolume
from components.provisioners.local_path import rules
from components.provisioners.local_path.parameters import LocalPathParameters
from components.provisioners.manifest import StorageClassManifest


class LocalPath(Provisioner[LocalPathParameters]):
    """Classes on local-path.

    It can't expand volumes, and ignores the size and any parameter that it doesn't know.
    """

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

        The provisioner's default, hostPath, makes a lost folder anew and empty, without a word, and
        doesn't apply a pod's fsGroup.
        A `local` volume fails to mount then, gets the fsGroup, and is allowed under Pod Security
        restricted.
        """
        return StorageClassFields(parameters=class_parameters(parameters), annotations={rules.VOLUME_TYPE: "local"})

    def findings(self, parameters: LocalPathParameters, volumes: Sequence[RequestedVolume]) -> Iterator[Finding]:
        """The form of a nodePath; sizes are ignored."""
        del volumes
        return rules.node_path(parameters.node_path)

    def class_findings(self, manifest: StorageClassManifest) -> Iterator[Finding]:
        """What local-path makes of the fields."""
        return rules.fields(manifest)

    def misfit(self, finding: Finding, manifest: StorageClassManifest) -> Finding:
        """A class may have a pathPattern that the settings refuse."""
        return rules.path_pattern(finding, manifest)

    def unknown(self, key: str, value: object) -> Finding:
        """A parameter of newer releases works there; any other is ignored."""
        return rules.unknown(key, value)

    def why_refused(self, key: str) -> str:
        """From which release on a parameter is known, or that it would be ignored."""
        return rules.why_ignored(key)
