"""The rehearsal: a cloud's stack, as it is in its file, on a throw-away cluster of this machine.

What the cloud's driver would do, a local provisioner does that answers to the driver's name.
So everything on this side of the driver is real (engine, API server, scheduler, classes, canary,
claims, pods), and the driver itself is not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.kube.api import KubeApi
from components.settings import Settings
from dev.paths import CLUSTER_FILE, KUBECONFIG
from dev.rehearsal.consumers import Consumers
from dev.report import canary_table
from devkube import paths
from devkube.cluster import Access, EmbeddedCluster, KindCluster, embedded, kind, remembered
from devkube.engine import ensure_engine
from devkube.images import build_image, reference
from devkube.toolchain.build import build
from ops.console import console, say, step
from ops.errors import UserError
from ops.kube import open_api
from ops.processes import failure
from ops.settings import load_settings
from review.program_copy import ProgramCopy, copy_project

CONTEXT = "storage-tiers-rehearsal"
UP = ("up", "--yes", "--skip-preview")
NOT_SHOWN = (
    "the driver itself: whether the cloud accepts the parameters (`make preview` checks what is known of it), quotas, prices and rights",
    "the volumes: their speed, real sizes, encryption, file systems (`lost+found` too), expansion, snapshots",
    "attaching and detaching, other nodes and zones: there is one node, which carries the first zone of the class",
)


def rehearse(stack: str) -> None:
    """Rehearse `stack`, a step a line; raises UserError with what failed. Leaves nothing behind."""
    settings = load_settings(stack)
    if settings.provisioner.tied_to_node:
        raise UserError(
            f"stack {stack} is on {settings.provisioner.name}: there is no driver to stand in for.", "`make up` is the real thing."
        )
    missing = _lacking()
    if missing:
        raise UserError(
            f"a rehearsal needs a cluster of its own, which can't run here: {missing}.", "Start Docker, or run it on Linux as root."
        )
    overrides = {
        "cluster": {"context": CONTEXT, "identifier": CONTEXT},
        "canary.image": reference("python"),
    }
    _announce(stack, settings, overrides)
    engine = ensure_engine()
    with (
        tempfile.TemporaryDirectory(prefix="storage-tiers-rehearsal-") as folder,
        _cluster(Path(folder), drivers(settings)) as (cluster, access),
    ):
        api = open_api(access.context, str(access.kubeconfig))
        label_nodes(api, node_labels(settings))
        copy = Path(folder, "program")
        copy_project(copy)
        program = ProgramCopy.prepare(copy, stack, engine, access.kubeconfig)
        program.override(overrides)
        made = program.init()
        if made.returncode != 0:
            raise failure(made)
        _steps(program, api, _kubectl(cluster), settings)
    say("")
    say(f"Stack {stack} came up, was proven, kept what was written over a destroy, and left nothing behind.")
    say(f"Next: `make preview STACK={stack}` for the driver's rules, then docs/migrate.md.")


def drivers(settings: Settings) -> tuple[str, ...]:
    """The names that the classes of the stack have for their driver."""
    provisioner = settings.provisioner
    named = (provisioner.storage_class(tier.parameters).driver or provisioner.driver for tier in settings.tiers.values())
    return tuple(dict.fromkeys(named))


def node_labels(settings: Settings) -> dict[str, str]:
    """What a node must be labelled for every class of the stack to find it.

    That is the first value for each topology key.
    """
    labels: dict[str, str] = {}
    for tier in settings.tiers.values():
        terms: Any = settings.provisioner.storage_class(tier.parameters).allowed_topologies
        for expression in (each for term in terms for each in term["match_label_expressions"]):
            labels.setdefault(expression["key"], expression["values"][0])
    return labels


def label_nodes(api: KubeApi, labels: dict[str, str]) -> None:
    """Give the nodes the labels of a zone."""
    for node in api.get("/api/v1/nodes")["items"] if labels else []:
        api.patch(f"/api/v1/nodes/{node['metadata']['name']}", {"metadata": {"labels": labels}})


def _on_kind() -> bool:
    """Whether the clone's own cluster is a Kind one, or would be: then the rehearsal's is too."""
    way = remembered(CLUSTER_FILE).cluster
    made = KindCluster(f"dev-{paths.clone_identity()}", CONTEXT, KUBECONFIG).exists()
    return way == "kind" or (way != "embedded" and (made or bool(embedded.lacking())))


def _lacking() -> str:
    """What is missing for a cluster of the rehearsal's own, in words; empty where nothing is."""
    return "; ".join(kind.lacking() if _on_kind() else embedded.lacking())


def _throw_away(kubeconfig: Path, names: tuple[str, ...]) -> EmbeddedCluster | KindCluster:
    identity = f"rehearse-{paths.clone_identity()}"
    if not _on_kind():
        return EmbeddedCluster(identity, CONTEXT, kubeconfig, provisioners=names)
    asked = remembered(CLUSTER_FILE)
    return KindCluster(identity, CONTEXT, kubeconfig, image=asked.kind_image, config=asked.kind_config, provisioners=names)


@contextmanager
def _cluster(folder: Path, names: tuple[str, ...]) -> Iterator[tuple[EmbeddedCluster | KindCluster, Access]]:
    """A cluster of this rehearsal's own, whose local provisioner answers to each of these names."""
    cluster = _throw_away(folder / "kubeconfig", names)
    cluster.delete()  # what a rehearsal that was killed has left
    try:
        access = cluster.start()
        for image in ("python", "busybox"):
            cluster.load_image(build_image(image))
        yield cluster, access
    finally:
        cluster.delete()


def _kubectl(cluster: EmbeddedCluster | KindCluster) -> list[str]:
    """The command line of a kubectl for the cluster; on Kind the node's own."""
    if isinstance(cluster, KindCluster):
        return cluster.kubectl()
    return [str(build("node") / "kubectl"), f"--kubeconfig={cluster.kubeconfig}", f"--context={cluster.context}"]


def _announce(stack: str, settings: Settings, overrides: dict[str, Any]) -> None:
    say(f"Rehearsal of stack {stack} (Pulumi.{stack}.yaml) on a throw-away cluster; your own stacks and clusters are not touched.")
    say("Other than in its file:")
    for path, value in overrides.items():
        say(f"  {path}: {value}")
    for key, value in node_labels(settings).items():
        say(f"  the node is labelled {key}={value}")
    say(f"  a local provisioner answers to the name {' and '.join(drivers(settings))}: volumes are folders of this machine")
    if settings.protect:
        say("  protect: true until its refusal has been seen, then false")
    say("What it can't show:")
    for line in NOT_SHOWN:
        say(f"  {line}")
    say("")


def _steps(program: ProgramCopy, api: KubeApi, kubectl: Sequence[str], settings: Settings) -> None:
    with step("pulumi up", estimate=60) as shown:
        program.ask(*UP)
        outputs = program.pulumi.outputs(program.stack)
        shown.detail = f"classes {', '.join(outputs['storageClasses'].values())}"
    console.print(canary_table(outputs))
    claims: dict[str, list[dict[str, str]]] = outputs["claims"]
    consumers = Consumers(api, kubectl, outputs["namespace"], claims)
    if not claims:
        say("The stack has no services, so there are no claims to use.")
        return
    with step("consumers: a StatefulSet for each service takes over its claims") as shown:
        consumers.start()
        written = consumers.write()
        before = consumers.volumes()
        shown.detail = f"{len(written)} volumes bound and written"
    with step("a second up changes nothing"):
        program.ask(*UP, "--expect-no-changes")
    if settings.protect:
        with step("a destroy is refused: the stack is protected") as shown:
            _refused(program, "protect")
            program.override({"protect": False})
            program.ask(*UP)
    with step("a destroy is refused: pods use the claims"):
        _refused(program, next(iter(written)))
    with step("consumers stopped, stack destroyed: volumes are retained"):
        consumers.stop()
        program.ask("destroy", "--yes", "--skip-preview")
    with step("adoption and up: each service gets its own volumes back") as shown:
        program.ops("volumes", "adopt")
        program.ask(*UP)
        consumers.start()
        _same("volumes", before, consumers.volumes())
        _same("data", written, consumers.read())
        shown.detail = f"{len(written)} volumes, every byte equal"
    with step("a second up changes nothing"):
        program.ask(*UP, "--expect-no-changes")
    _clean_up(program, consumers)


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
