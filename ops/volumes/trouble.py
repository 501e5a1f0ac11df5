"""What is wrong with the volumes of claims, and what a person does about it.

The same words for the list of volumes and for drift.
"""

from __future__ import annotations

from components.kube.bindings import BrokenBinding, Unreachable
from ops.command_line import option_of


def to_do_for_binding(broken: BrokenBinding, stack: str) -> str:
    """What to do about a volume that is being deleted, or gone, under its claim."""
    adopt = f"`python -m ops volumes adopt{option_of(stack)}`"
    if broken.gone:
        return (
            f"its data may be there still: stop the pods, `{broken.delete}`, then {adopt} (with `--from` and a saved list where its "
            "folder isn't on this machine) and `pulumi up --refresh`"
        )
    return f"{adopt} declares its data once more; then stop the pods, `{broken.delete}`, {adopt} again and `pulumi up --refresh`"


def to_do_for_node(where: Unreachable, claim: str) -> str:
    """What to do about a volume that no node can use; `claim` is `<namespace>/<name>`."""
    if not where.missing:
        return "its pods wait for it: `kubectl get nodes` shows it, `kubectl describe node` says why"
    if where.returns:
        return "a node there has to be started; an autoscaler does that for a pod that asks for the claim"
    namespace, _, name = claim.partition("/")
    delete = f"kubectl -n {namespace} delete pvc {name}"
    return (
        "start it again, or join it under the same name; where its disk is lost, so is the data: stop the pods, "
        f"`{delete}`, then `pulumi up --refresh` makes an empty claim"
    )
