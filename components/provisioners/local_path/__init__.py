"""rancher.io/local-path: folders of a node's own disk, for development machines. Kind has it built in."""

from components.provisioners.local_path.provisioner import LocalPath

__all__ = ["LocalPath"]
