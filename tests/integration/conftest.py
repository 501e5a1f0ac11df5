"""What several files share: the embedded cluster, and tiers on it for the canary to prove."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from devkube.cluster import Access, Cluster, EmbeddedCluster, NodeFolder
from devkube.images import build_image
from ops.kube import open_api
from tests import clean_up
from tests.clean_up import remove_volumes
from tests.conftest import eventually
from tests.faults import media
from tests.faults.tier import Tiers
from tests.integration.consumer_pods import ConsumerPods
from tests.integration.move_stacks import (
    CLAIM,
    LEVEL,
    OURS,
    SOURCE,
    TARGET,
    Stacks,
    bring_up_second,
    canary,
    clear,
    directory_of,
    fill,
    forget,
)
from tests.program import Program


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever becomes of a file's tests and fixtures, the next file finds the cluster as it was.

    Comes before the file's own fixtures, so it ends after them. Where nothing has failed before,
    and nobody has pressed Ctrl-C, what they have left is a failure. Else it goes in silence: the
    first cause is told already.
    """
    if not any(each.path == request.path and "cluster" in getattr(each, "fixturenames", ()) for each in request.session.items):
        yield
        return
    access: Access = request.getfixturevalue("access")
    api = open_api(access.context, str(access.kubeconfig))
    eventually(lambda: bool(api.find(clean_up.CLUSTERS_OWN)), "what a new cluster makes last, it has made")
    before, failed = clean_up.present(api), request.session.testsfailed
    yield
    left = clean_up.remove(api, before)
    interrupted = getattr(request.session, "exitstatus", None) == pytest.ExitCode.INTERRUPTED
    if left and not interrupted and request.session.testsfailed == failed:
        pytest.fail(f"{request.path.name} leaves on the cluster of all tests (it was removed now): {', '.join(left)}", pytrace=False)


@pytest.fixture(scope="module")
def embedded(cluster: Cluster) -> EmbeddedCluster:
    """The throw-away cluster, where it is part of this machine."""
    if not isinstance(cluster, EmbeddedCluster):
        pytest.skip("Kind's volumes are its container's, and its API server can't reach this machine's loopback")
    return cluster


@pytest.fixture(scope="session")
def folder(cluster: Cluster) -> NodeFolder:
    """Where the throw-away cluster has its volumes."""
    found = cluster.folder()
    assert found
    return found


@pytest.fixture(scope="session")
def files(folder: NodeFolder) -> None:
    """For tests that change what is in a volume: it belongs to the pods' users."""
    if os.geteuid() != 0:
        pytest.skip(f"what is in the volumes in {folder.here} is changed by root alone")


@pytest.fixture(scope="module")
def node(core: client.CoreV1Api) -> str:
    """The throw-away cluster's node."""
    (found,) = core.list_node().items
    return str(found.metadata.name)


@pytest.fixture(scope="module")
def tiers(folder: NodeFolder, access: Access, core: client.CoreV1Api, storage: client.StorageV1Api) -> Iterator[Tiers]:
    """Makes tiers for the canary."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(access.kubeconfig))
        made = Tiers(access.context, folder, core, storage)
        made.make_namespace()
        yield made
        made.remove_namespace()


@pytest.fixture(scope="module")
def plain(tiers: Tiers) -> Iterator[str]:
    """A class as the program makes it."""
    with tiers.storage_class("plain") as name:
        yield name


@pytest.fixture
def medium(tiers: Tiers, embedded: EmbeddedCluster, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Mounts a file system of its own where a class of the test's makes its volumes.

    Returns it and the class' name. A Kind node wouldn't see it: what is mounted later stays outside
    of its container.
    """
    del embedded

    @contextmanager
    def make(kind: type[media.Medium], /, **options: Any) -> Iterator[tuple[Any, str]]:
        mounting = kind(tiers.volumes / "medium", tmp_path / "work", **options)
        with mounting as mounted, tiers.storage_class("on-medium", folder="medium") as name:
            yield mounted, name

    return make


@pytest.fixture(scope="module")
def page_stack(
    program_factory: Callable[..., Program], access: Access, embedded: EmbeddedCluster, core: client.CoreV1Api
) -> Iterator[Program]:
    """The dev stack without its canary, up, with the engines' images on the cluster; its volumes go
    afterwards.
    """
    for name in ("clients", "postgresql", "kafka"):
        embedded.load_image(build_image(name))
    made = program_factory(access=access)
    made.configure(cluster={"context": access.context, "identifier": access.context}, canary={"enabled": False})
    made.up()
    yield made
    made.run("destroy", "--yes", "--skip-preview")  # which pods that a failed test has left may keep from ending

    def there() -> bool:
        return "data" in [each.metadata.name for each in core.list_namespace().items]

    if there():
        core.delete_namespace("data")
        eventually(lambda: not there(), "the namespace is gone")
    remove_volumes(core)


@pytest.fixture(scope="module")
def two_stacks(
    *,
    program_factory: Callable[..., Program],
    embedded: EmbeddedCluster,  # the volumes' directories are this machine's
    access: Access,
    core: client.CoreV1Api,
    busybox: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stacks]:
    first = program_factory(access=access)
    services = {"postgres": {"tier": "database", "size": "1Gi"}}
    first.configure(cluster={"context": access.context, "identifier": access.context}, canary=canary(first), services=services)
    variables = {**first.variables, "XDG_STATE_HOME": str(tmp_path_factory.mktemp("state"))}
    first = Program(first.folder, variables, "dev")
    second = bring_up_second(first, {"postgres": {"tier": "other", "size": "2Gi"}})
    for namespace in (SOURCE, TARGET):
        core.patch_namespace(namespace, {"metadata": {"labels": {LEVEL: "baseline"}}})  # all that a move takes
        users = ConsumerPods(core, busybox, namespace)
        users.start([CLAIM])
        users.stop()
    yield Stacks(first, core, busybox, directory_of(core, SOURCE), directory_of(core, TARGET))
    for each in (second, first):
        each.pulumi("destroy", "--yes", "--skip-preview", "--stack", each.stack)
    remove_volumes(core)


@pytest.fixture
def stacks(two_stacks: Stacks, request: pytest.FixtureRequest) -> Iterator[Stacks]:
    """With a source full of everything, an empty target, and no move that is known."""
    clear(two_stacks.source)
    clear(two_stacks.target)
    forget(two_stacks.program)
    fill(two_stacks.source, random.Random(request.node.name))
    yield two_stacks
    forget(two_stacks.program)
    eventually(lambda: not two_stacks.pods(), "no pod of a move is left", 60)
    maps = two_stacks.core.list_config_map_for_all_namespaces(label_selector=OURS).items
    assert not [each.metadata.name for each in maps]
