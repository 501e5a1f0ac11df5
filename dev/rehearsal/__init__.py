"""`python -m dev rehearse`: a real `pulumi up` of a cloud stack, before the cloud sees it."""

from dev.rehearsal.run import rehearse

__all__ = ["rehearse"]
