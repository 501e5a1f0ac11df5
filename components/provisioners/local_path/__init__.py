"""rancher.io/local-path: folders of a node's own disk, for development machines, as in Kind."""

from components.provisioners.local_path.path_pattern import read_pattern
from components.provisioners.local_path.provisioner import LocalPath

__all__ = ["LocalPath", "read_pattern"]
