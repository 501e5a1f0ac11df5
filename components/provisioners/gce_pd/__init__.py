"""pd.csi.storage.gke.io: Persistent Disk and Hyperdisk on GKE."""

from components.provisioners.gce_pd.provisioner import GcePd

__all__ = ["GcePd"]
