"""The rehearsal: a cloud's stack, as it is in its file, on a throw-away cluster of this machine.

Everything on this side of the driver is real: engine, API server, scheduler, classes, canary,
claims, pods. Where the machine lets it, the volumes are as well: file systems on loop devices,
behind Kubernetes' own sidecars, made by a driver that keeps to the cloud's documented rules. Else a
local provisioner answers to the driver's name.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from components.kube.api import KubeApi
from components.settings import Settings
from dev.rehearsal import cluster as clusters
from dev.rehearsal.cluster import CONTEXT, Disks, disks_for, drivers, node_labels
from dev.rehearsal.consumers import Consumers
from dev.rehearsal.on_disks import OnDisks
from dev.report import canary_table
from devkube.cluster import EmbeddedCluster, KindCluster, csi
from devkube.engine import ensure_engine
from devkube.images import reference
from ops.console import console, say, step
from ops.errors import UserError
from ops.kube import open_api
from ops.processes import failure
from ops.settings import load_settings
from review.program_copy import ProgramCopy, copy_project

UP = ("up", "--yes", "--skip-preview")
NOT_SHOWN = (
    "the driver itself: whether the cloud accepts the parameters (`make preview` checks what is known of it), quotas, prices and rights",
    "the volumes: their speed, real sizes, encryption, file systems (`lost+found` too), expansion, snapshots",
    "attaching and detaching, other nodes and zones: there is one node, which carries the first zone of the class",
)
NOT_SHOWN_ON_DISKS = (
    "the cloud's own word: quotas, prices, rights (IAM), and limits that its documentation doesn't have (`make preview` has the others)",
    "keys (KMS): nothing is encrypted",
    "real latency and throughput, and how long the cloud takes to make, attach, change and copy a disk",
    "a power cut: a lost node's writes are still in this machine's memory",
)


def rehearse(stack: str) -> None:
    """Rehearse `stack`, a step a line; raises UserError with what failed. Leaves nothing behind."""
    settings = load_settings(stack)
    if settings.provisioner.tied_to_node:
        raise UserError(
            f"stack {stack} is on {settings.provisioner.name}: there is no driver to stand in for.", "`make up` is the real thing."
        )
    missing = clusters.lacking()
    if missing:
        raise UserError(
            f"a rehearsal needs a cluster of its own, which can't run here: {missing}.", "Start Docker, or run it on Linux as root."
        )
    overrides = {
        "cluster": {"context": CONTEXT, "identifier": CONTEXT},
        "canary.image": reference("python"),
    }
    found = disks_for(settings)
    disks = found if isinstance(found, Disks) else None
    _announce(stack, settings, overrides, found)
    engine = ensure_engine()
    with tempfile.TemporaryDirectory(prefix="storage-tiers-rehearsal-") as folder:
        cluster = clusters.throw_away(Path(folder, "kubeconfig"), drivers(settings), disks)
        with clusters.running(cluster) as access:
            api = open_api(access.context, str(access.kubeconfig))
            if disks is None:
                clusters.label_nodes(api, node_labels(settings))
            copy = Path(folder, "program")
            copy_project(copy)
            program = ProgramCopy.prepare(copy, stack, engine, access.kubeconfig)
            program.override(overrides)
            made = program.init()
            if made.returncode != 0:
                raise failure(made)
            _steps(program, api, cluster, settings, disks)
    say("")
    say(f"Stack {stack} came up, was proven, kept what was written over a destroy, and left nothing behind.")
    say(f"Next: `make preview STACK={stack}` for the driver's rules, then docs/migrate.md.")


def _announce(stack: str, settings: Settings, overrides: dict[str, Any], found: Disks | str) -> None:
    say(f"Rehearsal of stack {stack} (Pulumi.{stack}.yaml) on a throw-away cluster; your own stacks and clusters are not touched.")
    say("Other than in its file:")
    for path, value in overrides.items():
        say(f"  {path}: {value}")
    if isinstance(found, Disks):
        say(f"  {found.nodes} nodes, in {', '.join(found.zones)}, and one more in {found.zones[0]}")
        say(f"  {csi.DRIVERS[found.flavour]} keeps the driver's documented rules, and its disks are files of this machine, on loop devices")
        say("  once up, one change of sizes, class, snapshots and attributes, which is shown")
        say("  canary.spread: none for the up after the destroy: every zone has been proven by then")
    else:
        for key, value in node_labels(settings).items():
            say(f"  the node is labelled {key}={value}")
        say(f"  a local provisioner answers to the name {' and '.join(drivers(settings))}: volumes are folders of this machine")
    if settings.protect:
        say("  protect: true until its refusal has been seen, then false")
    say("What it can't show:")
    for line in not_shown(found):
        say(f"  {line}")
    say("")


def not_shown(found: Disks | str) -> list[str]:
    """What the rehearsal can't show, a line each."""
    if isinstance(found, str):
        return [*NOT_SHOWN, f"no real disks here, because {found}"]
    more = [] if csi.grows_ext4_mounted() else ["growth of a mounted ext4: root lacks CAP_SYS_RESOURCE here, so it grows at the next mount"]
    return [*NOT_SHOWN_ON_DISKS, *more]


def _steps(program: ProgramCopy, api: KubeApi, cluster: EmbeddedCluster | KindCluster, settings: Settings, disks: Disks | None) -> None:
    with step("pulumi up", estimate=60) as shown:
        program.ask(*UP)
        outputs = program.pulumi.outputs(program.stack)
        shown.detail = f"classes {', '.join(outputs['storageClasses'].values())}"
    console.print(canary_table(outputs))
    claims: dict[str, list[dict[str, str]]] = {service: outputs["claims"][service] for service in settings.services}
    if not claims:
        say("The stack has no services, so there are no claims to use.")
        return
    kubectl = clusters.kubectl(cluster)
    consumers = Consumers(api, kubectl, outputs["namespace"], claims, zones_of_services(settings, disks) if disks else {})
    on_disks = None
    if disks and isinstance(cluster, EmbeddedCluster):
        on_disks = OnDisks(program, api, kubectl, settings, cluster, disks, consumers)
    with step("consumers: a StatefulSet for each service takes over its claims") as shown:
        consumers.start()
        written = consumers.write()
        before = consumers.volumes()
        shown.detail = f"{len(written)} volumes bound and written"
        if on_disks:
            shown.detail += f"; {on_disks.look_at_places(outputs)}"
    with step("a second up changes nothing"):
        program.ask(*UP, "--expect-no-changes")
    if settings.protect:
        with step("a destroy is refused: the stack is protected"):
            _refused(program, "protect")
    if on_disks:
        written = on_disks.use(written)
    elif settings.protect:
        program.override({"protect": False})
        program.ask(*UP)
    with step("a destroy is refused: pods use the claims"):
        _refused(program, next(iter(written)))
    with step("consumers stopped, stack destroyed: volumes are retained"):
        consumers.stop()
        program.ask("destroy", "--yes", "--skip-preview")
    with step("adoption and up: each service gets its own volumes back") as shown:
        how = f": {on_disks.forget()}" if on_disks else ""
        program.ops("volumes", "adopt")
        program.ask(*UP)
        consumers.start()
        _same("volumes", before, consumers.volumes())
        _same("data", written, consumers.read())
        shown.detail = f"{len(written)} volumes, every byte equal{how}"
    with step("a second up changes nothing"):
        program.ask(*UP, "--expect-no-changes")
    _clean_up(program, consumers)
    if on_disks:
        on_disks.purge()


def zones_of_services(settings: Settings, disks: Disks) -> dict[str, list[str]]:
    """The zones where each service's volumes may be; all of the cluster's where its class names
    none."""
    found = {}
    for name, service in settings.services.items():
        named = clusters.zones_of(settings, service.tier)
        found[name] = [zone for zone in disks.zones if zone in named or not named]
    return found


def _refused(program: ProgramCopy, word: str) -> None:
    try:
        program.ask("destroy", "--yes", "--skip-preview")
    except UserError as refusal:
        if word in str(refusal):
            return
        raise
    raise UserError("`pulumi destroy` went through where it had to be refused.")


def _same(what: str, before: dict[str, str], after: dict[str, str]) -> None:
    changed = [name for name in before if after.get(name) != before[name]]
    if changed:
        raise UserError(f"{what} of {', '.join(changed)} are not what they were before the destroy.")


def _clean_up(program: ProgramCopy, consumers: Consumers) -> None:
    with step("everything is removed", estimate=20):
        consumers.stop()
        program.ask("destroy", "--yes", "--skip-preview")
