"""ebs.csi.aws.com: EBS volumes on EKS and other clusters on AWS."""

from components.provisioners.ebs.provisioner import Ebs

__all__ = ["Ebs"]
