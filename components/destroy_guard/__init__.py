"""Refuses a destroy that would take something from somebody.

It is the first thing that `pulumi destroy` comes to.

`pulumi destroy` doesn't run the program, so what must be checked before it deletes anything has to
be in the state. It deletes in the reverse order of dependencies: a command that depends on all
claims and the namespace is deleted before them, and its deletion is `check.py`, which fails while
they are in use.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pulumi
from pulumi_command.local import Command, Logging

from components.settings import Settings
from components.stack import Stack
from components.storage_tier import StorageTier


class DestroyGuardArgs(NamedTuple):
    """What is guarded.

    The guard is protected where the stack is: a refused destroy would otherwise delete the guard
    first.
    """

    stack: Stack
    """The stack, and the cluster that the guard looks into."""
    namespace: str
    """The namespace of the claims."""
    namespace_is_ours: bool = True
    """Whether the stack made it, and so deletes it with all that is in it."""
    canary_namespace: str | None = None
    """The stack's own namespace for its canaries; None where it has none."""
    keeps_attributes: bool = False
    """Whether the stack has VolumeAttributesClasses, and its state says that Pulumi leaves them.

    The guard then deletes those that nothing names.
    """


class DestroyGuard(pulumi.ComponentResource):
    """Runs `check.py` before anything that is in `opts.depends_on` is deleted.

    All inputs are the same bytes on every machine: paths are relative to the project folder, which
    is where the command plugin runs. `run_python` is a shell script with a `.cmd` beside it, which
    Windows finds by itself (PATHEXT).
    """

    def __init__(self, name: str, args: DestroyGuardArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("storage-tiers:index:DestroyGuard", name, None, opts)
        Command(
            name,
            interpreter=[
                "components/run_python",
                "components/destroy_guard/check.py",
                f"--context={args.stack.context}",
                f"--namespace={args.namespace}",
                f"--instance={args.stack.name}",
                *(["--namespace-is-ours"] if args.namespace_is_ours else []),
                *([f"--canary-namespace={args.canary_namespace}"] if args.canary_namespace else []),
                *(["--keeps-attributes"] if args.keeps_attributes else []),
            ],
            delete="destroy",
            # Another cluster or namespace replaces the guard, so that the old one is checked before
            # it is given up. Any other change only writes the new arguments to the state: without
            # `create` and `update` nothing runs.
            triggers=[args.stack.identifier, args.namespace],
            logging=Logging.STDERR,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(parent=self, protect=args.stack.protect, depends_on=opts.depends_on if opts else None),
        )
        self.register_outputs({})


def declare_guard(stack: Stack, settings: Settings, tiers: Iterable[StorageTier], depends_on: Sequence[pulumi.Resource]) -> DestroyGuard:
    """The guard of a stack, before anything that is in `depends_on` is deleted."""
    canary = settings.canary_namespace if settings.canary.enabled else None
    attributes = any(tier.keeps_attributes for tier in tiers)
    args = DestroyGuardArgs(stack, settings.namespace.name, settings.namespace.create, canary, attributes)
    return DestroyGuard("destroy-guard", args, pulumi.ResourceOptions(depends_on=[*depends_on]))
