"""A tree with everything in it, moved from local-path to the disks of the rehearsed cloud classes
and back: 20,000 files, a hole of a gibibyte, hard links, attributes and ACLs, odd names, a socket,
links in circles. What came back is what was sent, seen by other means than the move's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from kubernetes import client

from devkube import paths
from devkube.cluster import EmbeddedCluster, csi, embedded
from devkube.images import build_image, reference
from tests.faults import move_tree
from tests.faults.move_tree import show
from tests.integration.consumer_pods import ConsumerPods
from tests.integration.move_stacks import CLAIM, LEVEL, OURS, TARGET, directory_of
from tests.integration.test_move_engines import CLOUDS
from tests.kubeconfig import client_of
from tests.program import Program

_LACKING = [*embedded.lacking(), *csi.lacking()]
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.faults,
    pytest.mark.soak,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(bool(_LACKING), reason="; ".join(_LACKING)),
]
CONTEXT = "storage-tiers-tree"


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
@pytest.mark.parametrize("flavour", list(CLOUDS))
def test_a_tree_with_everything_in_it_comes_back_as_it_was(
    flavour: csi.Flavour, kind: str, program_factory: Callable[..., Program], tmp_path: Path
) -> None:
    cloud, disk = CLOUDS[flavour]
    csi.prepare()
    cluster = EmbeddedCluster(f"tree-{paths.clone_identity()}", CONTEXT, tmp_path / "kubeconfig", driver=flavour)
    cluster.delete()
    try:
        access = cluster.start()
        for image in ("python", "busybox"):
            cluster.load_image(build_image(image))
        made = program_factory(access=access)
        dev = Program(made.folder, {**made.variables, "XDG_STATE_HOME": str(tmp_path / "state")}, "dev")
        settings = {"cluster": {"context": CONTEXT, "identifier": CONTEXT}, "canary": {"enabled": False, "image": reference("python")}}
        postgres = {"tier": "database", "size": "4Gi"}
        dev.configure(**settings, services={"postgres": postgres})
        there, back = Program(dev.folder, dev.variables, cloud), Program(dev.folder, dev.variables, "home")
        back.stack_file.write_text(dev.stack_file.read_text())
        for other in (there, back):
            other.pulumi("stack", "init", other.stack)
        tier = {"kind": "database", "type": disk, "zones": list(csi.ZONES[flavour])[:1], "csi.storage.k8s.io/fstype": kind}
        there.configure(**settings, namespace={"name": cloud}, tiers={"database": tier}, services={"postgres": postgres}, protect=False)
        back.configure(
            namespace={"name": TARGET}, tiers={"rows": {"kind": "database"}}, services={"postgres": {**postgres, "tier": "rows"}}
        )
        core = client.CoreV1Api(client_of(access.kubeconfig, access.context))
        for each in (dev, there, back):
            each.up("--stack", each.stack)
        for namespace in ("data", cloud, TARGET):
            core.patch_namespace(namespace, {"metadata": {"labels": {LEVEL: "baseline"}}})
        users = ConsumerPods(core, reference("busybox"))
        users.start([CLAIM])
        users.stop()
        source = directory_of(core, "data")
        move_tree.make(str(source), files=20_000, large=2**30, seed=3)
        before = show(source)
        assert len(before) > 20_000
        for way in (("--from", "dev", "--to", cloud), ("--from", cloud, "--to", "home")):
            done = dev.ops("move", *way, "--json")
            assert done.returncode == 0, done.stdout + done.stderr
            (verdict,) = json.loads(done.stdout)
            assert verdict["verdict"] == "proven" and "caveat" not in verdict
        assert show(directory_of(core, TARGET)) == before == show(source)
        assert not core.list_pod_for_all_namespaces(label_selector=OURS).items
    finally:
        cluster.delete()
