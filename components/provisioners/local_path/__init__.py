"""rancher.io/local-path: folders of a node's own disk, for development machines, as in Kind."""

from components.provisioners.local_path.parameters import PATH_PATTERN_BEGINNING
from components.provisioners.local_path.provisioner import LocalPath

__all__ = ["PATH_PATTERN_BEGINNING", "LocalPath"]
