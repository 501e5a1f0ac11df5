"""rancher.io/local-path: folders of a node's own disk, for development machines, as in Kind."""

from components.provisioners.local_path.provisioner import LocalPath

__all__ = ["LocalPath"]
