"""Old volumes on the real cluster: given back after each kind of loss, refused where there is
doubt, pruned when asked.

The tests run in the order of the file, on one stack (its canaries are off: they are proven
elsewhere) and four volumes with known data.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from components.kube.ownership import Stamp
from devkube.cluster import Access, Cluster
from ops.volumes.found import VolumesFolder
from tests.clean_up import remove_volumes
from tests.conftest import eventually
from tests.integration.consumer_pods import ConsumerPods
from tests.program import Program

pytestmark = pytest.mark.cluster

CLAIMS = ["data-postgres-0", "data-kafka-0", "data-kafka-1", "data-kafka-2"]
LOCAL_PATH = "rancher.io/local-path"


@pytest.fixture(scope="module")
def program(program_factory: Callable[..., Program], access: Access, core: client.CoreV1Api) -> Iterator[Program]:
    program = program_factory(access=access)
    program.configure(cluster={"context": access.context, "identifier": access.context}, canary={"enabled": False})
    yield program
    program.run("destroy", "--yes", "--skip-preview")  # where only a part of the tests has run
    remove_volumes(core)


@pytest.fixture(scope="module")
def pods(core: client.CoreV1Api, busybox: str) -> ConsumerPods:
    return ConsumerPods(core, busybox)


@pytest.fixture(scope="module")
def data(program: Program, pods: ConsumerPods, core: client.CoreV1Api) -> dict[str, str]:
    """The stack up with known data on all four claims, and then destroyed, by plain `pulumi`.

    Returns the volume of each claim.
    """
    program.up()
    pods.start(CLAIMS)
    pods.write(CLAIMS)
    held = bound(core)
    pods.stop()
    program.destroy()
    return held


def bound(core: client.CoreV1Api) -> dict[str, str]:
    """The volume that each claim is bound to."""
    return {each.metadata.name: each.spec.volume_name for each in core.list_namespaced_persistent_volume_claim("data").items}


def works(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def listed(program: Program) -> dict[str, dict[str, Any]]:
    """`volumes --json`, by volume."""
    return {each["name"]: each for each in json.loads(works(program.ops("volumes", "--json")))["volumes"]}


def adopted(program: Program, core: client.CoreV1Api, data: dict[str, str]) -> None:
    """Adopt, and bring the stack up: every claim has its own volume."""
    said = works(program.ops("volumes", "adopt"))
    for name, volume in data.items():
        assert f"(data/{name}): {volume}" in said
    program.up("--refresh")
    eventually(lambda: bound(core) == data, "each claim has its own volume", 60)
    assert "Every claim has its volume already." in works(program.ops("volumes", "adopt"))


def intact(pods: ConsumerPods, claims: list[str] = CLAIMS) -> None:
    """Every byte is there, under the claim that it was written through."""
    pods.start(claims)
    assert pods.read(claims) == {claim: pods.hashes[claim] for claim in claims}
    assert len(set(pods.hashes.values())) == 4
    pods.stop()


class TestGivenBack:
    def test_a_plain_destroy_has_stamped_every_volume(self, data: dict[str, str], core: client.CoreV1Api) -> None:
        for name, volume in data.items():
            found = core.read_persistent_volume(volume)
            _, service, ordinal = name.split("-")
            tier = "database" if service == "postgres" else "streaming"
            assert Stamp.of(found.metadata.labels) == Stamp("dev", service, int(ordinal), tier)

    def test_the_list_says_what_is_there_and_how_it_comes_back(self, program: Program, cluster: Cluster, data: dict[str, str]) -> None:
        found = listed(program)
        assert set(found) == set(data.values())
        one = found[data["data-kafka-1"]]
        assert (one["service"], one["ordinal"], one["tier"], one["phase"]) == ("kafka", 1, "streaming", "Released")
        assert (one["stamped"], one["capacityBytes"], one["claim"]["name"]) == (True, 3380 * 2**20, "data-kafka-1")
        assert one["adoption"] == {"possible": True, "how": "`python -m ops volumes adopt --stack dev`, then `pulumi up`"}
        if Path(one["data"]["path"]).is_dir():  # the embedded node's folders are this machine's
            assert 16 * 1024 <= one["usedBytes"] < 64 * 1024
        table = works(program.ops("volumes"))
        assert "kafka 1" in table
        assert f"kafka 1: {data['data-kafka-1']}, {one['data']['path']}\n  to adopt it: {one['adoption']['how']}\n" in table

    def test_after_destroy(self, program: Program, core: client.CoreV1Api, pods: ConsumerPods, data: dict[str, str]) -> None:
        adopted(program, core, data)
        program.up("--refresh", "--expect-no-changes")
        intact(pods)

    def test_after_one_claim_was_deleted(self, program: Program, core: client.CoreV1Api, pods: ConsumerPods, data: dict[str, str]) -> None:
        core.delete_namespaced_persistent_volume_claim("data-kafka-1", "data")
        eventually(lambda: "data-kafka-1" not in bound(core), "the claim is gone")
        said = works(program.ops("volumes", "adopt"))
        assert data["data-kafka-1"] in said
        assert data["data-kafka-2"] not in said
        program.up("--refresh")
        eventually(lambda: bound(core) == data, "the claim has its volume again", 60)
        intact(pods, ["data-kafka-1"])

    def test_after_the_namespace_was_deleted(
        self, program: Program, core: client.CoreV1Api, pods: ConsumerPods, data: dict[str, str]
    ) -> None:
        core.delete_namespace("data")
        eventually(lambda: "data" not in [each.metadata.name for each in core.list_namespace().items], "the namespace is gone")
        adopted(program, core, data)
        program.up("--refresh", "--expect-no-changes")
        intact(pods)

    def test_to_claims_that_are_there_and_empty(self, program: Program, core: client.CoreV1Api, data: dict[str, str]) -> None:
        program.destroy()
        program.up()
        assert set(bound(core).values()) == {None}
        said = works(program.ops("volumes", "adopt"))
        assert "4 bound" in said
        assert bound(core) == data

    def test_a_reservation_that_was_interrupted_is_taken_up_again(
        self, program: Program, core: client.CoreV1Api, data: dict[str, str]
    ) -> None:
        program.destroy()
        body = {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}}
        core.patch_persistent_volume(data["data-kafka-2"], body)
        eventually(lambda: core.read_persistent_volume(data["data-kafka-2"]).status.phase == "Available", "one is reserved")
        assert listed(program)[data["data-kafka-2"]]["adoption"]["how"].startswith("reserved; ")
        adopted(program, core, data)
        program.destroy()


def another_volume(name: str, path: str, node: str, labels: dict[str, str], **spec: Any) -> dict[str, Any]:
    """A volume beside the four: Released, of the streaming tier."""
    return {
        "metadata": {"name": name, "labels": labels, "annotations": {"pv.kubernetes.io/provisioned-by": LOCAL_PATH}},
        "spec": {
            "capacity": {"storage": "3380Mi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "streaming-local-path",
            "local": {"path": path},
            "claimRef": {"namespace": "data", "name": "data-kafka-1", "uid": "00000000-0000-0000-0000-000000000000"},
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]
                }
            },
            **spec,
        },
    }


class Situation:
    """The stack destroyed and its four volumes Released, in a state that the adoption must refuse.

    It is put back afterwards.
    """

    def __init__(self, program: Program, core: client.CoreV1Api, data: dict[str, str]) -> None:
        self.program, self.core, self.data = program, core, data
        self.node = core.list_node().items[0].metadata.labels["kubernetes.io/hostname"]
        self.mine = data["data-kafka-1"]
        self.path = core.read_persistent_volume(self.mine).spec.local.path

    @contextmanager
    def changed(self, **body: Any) -> Iterator[None]:
        """One of the four volumes, kafka 1's, changed by hand."""
        before = self.core.read_persistent_volume(self.mine)
        self.core.patch_persistent_volume(self.mine, body)
        yield
        spec = {
            "storageClassName": before.spec.storage_class_name,
            "capacity": before.spec.capacity,
            "accessModes": before.spec.access_modes,
        }
        self.core.patch_persistent_volume(self.mine, {"metadata": {"labels": before.metadata.labels}, "spec": spec})

    @contextmanager
    def beside(self, labels: dict[str, str], node: str = "", **spec: Any) -> Iterator[str]:
        """One more volume, whose data nobody needs."""
        made = another_volume("other", f"{self.path}-other", node or self.node, labels, **spec)
        self.core.create_persistent_volume(made)
        eventually(lambda: self.core.read_persistent_volume("other").status.phase in ("Released", "Available"), "the other volume is known")
        yield "other"
        self.core.delete_persistent_volume("other")
        eventually(lambda: "other" not in [each.metadata.name for each in self.core.list_persistent_volume().items], "the other is gone")

    @contextmanager
    def choosing(self, volume: str) -> Iterator[None]:
        self.program.configure(adopt={"kafka": {"1": volume}})
        yield
        self.program.configure(adopt=None)

    def refuses(self, words: str) -> None:
        """The adoption ends with exactly these words for kafka 1, and no volume of the stack was
        touched.
        """
        before = {each.metadata.name: each.metadata.resource_version for each in self.core.list_persistent_volume().items}
        done = self.program.ops("volumes", "adopt")
        assert done.returncode == 1
        assert done.stderr == (
            "error: 1 of the 4 claims of stack dev can't be given a volume; nothing was reserved:\n"
            f"  kafka 1 (data/data-kafka-1): {words}\n"
        ), done.stderr
        after = {each.metadata.name: each.metadata.resource_version for each in self.core.list_persistent_volume().items}
        assert after == before


@pytest.fixture(scope="module")
def situation(program: Program, core: client.CoreV1Api, data: dict[str, str]) -> Situation:
    return Situation(program, core, data)


STAMP = Stamp("dev", "kafka", 1, "streaming").labels
UNSTAMPED: dict[str, Any] = {"metadata": {"labels": dict.fromkeys(STAMP)}}


def choose(volume: str) -> str:
    return f"`pulumi config set --stack dev --path adopt.kafka.1 {volume}`"


def hand_over(volume: str) -> str:
    return (
        f"To hand it over knowingly: `kubectl label pv {volume} --overwrite {' '.join(f'{key}={value}' for key, value in STAMP.items())}`"
    )


class TestRefused:
    def test_two_that_were_its_own(self, situation: Situation) -> None:
        with situation.beside(STAMP) as other:
            done = situation.program.ops("volumes", "adopt")
            assert done.returncode == 1
            assert "kafka 1 (data/data-kafka-1): 2 volumes were its own:" in done.stderr
            for name, path in ((situation.mine, situation.path), (other, f"{situation.path}-other")):
                line = rf"^      {name}  made [-0-9]+ [:0-9]+ UTC, Released since [-0-9]+ [:0-9]+ UTC, {path}$"
                assert re.search(line, done.stderr, re.MULTILINE), done.stderr
            assert f"\n    Choose: {choose('<one of these>')} (or `new` for an empty one)" in done.stderr
            with situation.choosing(situation.mine):
                assert listed(situation.program)[situation.mine]["adoption"]["possible"]

    def test_unstamped(self, situation: Situation) -> None:
        with situation.changed(**UNSTAMPED):
            done = situation.program.ops("volumes", "adopt")
            assert "nothing but the name of its last claim says that this volume was its own:" in done.stderr
            assert choose(situation.mine) in done.stderr
            how = listed(situation.program)[situation.mine]["adoption"]["how"]
            assert how.startswith(f"not stamped: by choice alone, {choose(situation.mine)}")

    def test_another_class(self, situation: Situation) -> None:
        with situation.changed(spec={"storageClassName": "database-local-path"}):
            situation.refuses(
                f"its volume {situation.mine} is of class database-local-path, the claim of streaming-local-path: "
                f"a volume stays on its class. Put the service back on the tier that it was on, or begin anew: {choose('new')}"
            )

    def test_smaller(self, situation: Situation) -> None:
        with situation.changed(spec={"capacity": {"storage": "1Gi"}}):
            situation.refuses(
                f"its volume {situation.mine} has 1Gi, the claim asks for 3380Mi. Set services.kafka.size "
                f"to no more than it has, or begin anew: {choose('new')}"
            )

    def test_the_access_mode(self, situation: Situation) -> None:
        with situation.changed(spec={"accessModes": ["ReadOnlyMany"]}):
            situation.refuses(
                f"its volume {situation.mine} allows ReadOnlyMany, the claim asks for ReadWriteOnce. "
                "Set services.kafka.accessMode to ReadOnlyMany"
            )

    def test_the_node_is_gone(self, situation: Situation) -> None:
        with situation.beside(STAMP, node="gone") as other, situation.choosing(other):
            situation.refuses(
                f"adopt.kafka.1: {other}: the volume {other} is usable on node gone alone, and the cluster has no such node "
                f"(nodes: {situation.core.list_node().items[0].metadata.name})"
            )

    def test_another_stacks_by_choice_and_never_without(self, situation: Situation) -> None:
        with situation.beside(Stamp("other", "kafka", 1, "streaming").labels) as other:
            assert other not in listed(situation.program)
            with situation.choosing(other):
                situation.refuses(
                    f"adopt.kafka.1: {other}: {other} is labelled as the volume of kafka 1 of stack other. {hand_over(other)}"
                )

    def test_another_replicas_by_choice(self, situation: Situation) -> None:
        theirs = situation.data["data-kafka-2"]
        with situation.choosing(theirs):
            situation.refuses(f"adopt.kafka.1: {theirs}: {theirs} is labelled as the volume of kafka 2 of stack dev. {hand_over(theirs)}")

    def test_a_choice_that_names_nothing(self, situation: Situation) -> None:
        with situation.choosing("pvc-nothing"):
            situation.refuses(
                "adopt.kafka.1: pvc-nothing: no volume of the cluster has that name, path or handle, and it is no form in which "
                f"{LOCAL_PATH} names its volumes. `python -m ops volumes --stack dev` lists the volumes"
            )

    def test_a_claim_that_is_bound_already(self, situation: Situation, core: client.CoreV1Api) -> None:
        works(situation.program.ops("volumes", "adopt"))
        situation.program.up()
        eventually(lambda: bound(core) == situation.data, "all have their volumes")
        with situation.beside({}) as other, situation.choosing(other):
            situation.refuses(
                f"the claim is bound to {situation.mine} already, and the setting adopt.kafka.1 names {other}. Remove that setting; or "
                f"stop the pods and delete the claim (`kubectl -n data delete pvc data-kafka-1`), which retains {situation.mine}"
            )
        situation.program.destroy()


class TestByChoice:
    def test_an_unstamped_volume_is_given_and_then_stamped(
        self, situation: Situation, core: client.CoreV1Api, data: dict[str, str]
    ) -> None:
        core.patch_persistent_volume(situation.mine, UNSTAMPED)
        with situation.choosing(situation.path):  # by its path: by its name is the same from there on
            adopted(situation.program, core, data)
        assert Stamp.of(core.read_persistent_volume(situation.mine).metadata.labels) == Stamp("dev", "kafka", 1, "streaming")

    def test_the_old_one_although_a_pod_has_used_a_new_one(
        self, situation: Situation, core: client.CoreV1Api, pods: ConsumerPods, data: dict[str, str]
    ) -> None:
        program, delete = situation.program, core.delete_namespaced_persistent_volume_claim
        delete("data-kafka-1", "data")
        eventually(lambda: "data-kafka-1" not in bound(core), "the claim is gone")
        program.up("--refresh")
        pods.start(["data-kafka-1"])
        pods.stop()
        newer = bound(core)["data-kafka-1"]
        assert newer != situation.mine
        assert (
            listed(program)[situation.mine]["adoption"]["how"]
            == f"data-kafka-1 is bound to {newer}: stop its pods and delete that claim first"
        )
        delete("data-kafka-1", "data")
        eventually(lambda: core.read_persistent_volume(newer).status.phase == "Released", "the newer one is retained")
        assert "2 volumes were its own:" in program.ops("volumes", "adopt").stderr
        with situation.choosing(situation.mine):
            works(program.ops("volumes", "adopt"))
        program.up("--refresh")
        eventually(lambda: bound(core) == data, "each claim has its own volume", 60)
        works(program.ops("volumes", "prune", "--yes", newer))
        intact(pods, ["data-kafka-1"])


@pytest.fixture(scope="class")
def stranger(situation: Situation, core: client.CoreV1Api) -> Iterator[str]:
    """A volume of another stack, of the same class and the same claim's name.

    Nothing may touch it.
    """
    with situation.beside(Stamp("other", "kafka", 1, "streaming").labels) as other:
        yield other
        assert core.read_persistent_volume(other).spec.persistent_volume_reclaim_policy == "Retain"


@pytest.mark.usefixtures("stranger")
class TestPrune:
    """On the four volumes, all in use but kafka 2's, whose claim is deleted."""

    def test_lists_and_deletes_nothing_without_a_name(self, program: Program, core: client.CoreV1Api, data: dict[str, str]) -> None:
        core.delete_namespaced_persistent_volume_claim("data-kafka-2", "data")
        eventually(lambda: core.read_persistent_volume(data["data-kafka-2"]).status.phase == "Released", "one is Released")
        said = works(program.ops("volumes", "prune"))
        assert "kafka 2" in said
        assert "in all: 1 volume, " in said
        assert "Nothing was deleted." in said
        assert "other" not in said

    @pytest.mark.parametrize(
        ("of", "reason"),
        [
            ("data-kafka-1", "is in use: it is bound to data/data-kafka-1"),
            ("other", "is labelled for stack other: prune it with that stack (`--stack other`)"),
            ("nothing", "there is no such volume"),
        ],
    )
    def test_refuses_all_names_for_one(self, of: str, reason: str, program: Program, core: client.CoreV1Api, data: dict[str, str]) -> None:
        name = data.get(of, of)
        done = program.ops("volumes", "prune", "--yes", data["data-kafka-2"], name)
        assert done.returncode == 1
        separator = ": " if of == "nothing" else " "
        assert done.stderr == f"error: these volumes are not pruned, and so none is:\n  {name}{separator}{reason}\n"
        assert core.read_persistent_volume(data["data-kafka-2"]).spec.persistent_volume_reclaim_policy == "Retain"

    def test_deletes_nothing_that_is_reserved_or_not_stamped(self, program: Program, core: client.CoreV1Api, data: dict[str, str]) -> None:
        name = data["data-kafka-2"]
        labels = core.read_persistent_volume(name).metadata.labels
        core.patch_persistent_volume(name, {"metadata": {"labels": dict.fromkeys(labels)}})
        done = program.ops("volumes", "prune", "--yes", name)
        assert f"{name} carries no stamp of stack dev: nothing proves that its data is this stack's" in done.stderr
        core.patch_persistent_volume(name, {"metadata": {"labels": labels}})
        works(program.ops("volumes", "adopt"))
        eventually(lambda: core.read_persistent_volume(name).status.phase == "Available", "it is reserved")
        done = program.ops("volumes", "prune", "--yes", name)
        assert f"{name} is reserved for data/data-kafka-2" in done.stderr
        let_go = {"spec": {"claimRef": {"uid": "00000000-0000-0000-0000-000000000000"}}}  # as docs/recovery.md says
        core.patch_persistent_volume(name, let_go)
        eventually(lambda: core.read_persistent_volume(name).status.phase == "Released", "it is not reserved any more")
        works(program.ops("volumes", "adopt"))
        program.up("--refresh")
        eventually(lambda: bound(core) == data, "it is in use again")

    def test_nobody_says_yes(self, program: Program, core: client.CoreV1Api, data: dict[str, str]) -> None:
        core.delete_namespaced_persistent_volume_claim("data-kafka-2", "data")
        eventually(lambda: core.read_persistent_volume(data["data-kafka-2"]).status.phase == "Released", "one is Released")
        assert program.ops("volumes", "prune", data["data-kafka-2"]).returncode != 0
        assert core.read_persistent_volume(data["data-kafka-2"]).spec.persistent_volume_reclaim_policy == "Retain"

    def test_by_age_only_what_is_old_enough(self, program: Program, core: client.CoreV1Api, data: dict[str, str]) -> None:
        assert "no Released volume of 1h or older to prune" in works(program.ops("volumes", "prune", "--yes", "--older-than", "1h"))
        done = program.ops("volumes", "prune", "--older-than", "30 days")
        assert done.stderr == (
            "error: --older-than 30 days: an age is a whole number and one of m, h, d and w (minutes to weeks).\nWorks: 30d\n"
        )
        assert data["data-kafka-2"] in [each.metadata.name for each in core.list_persistent_volume().items]

    def test_by_name_deletes_the_volume_and_its_directory(
        self, program: Program, core: client.CoreV1Api, cluster: Cluster, data: dict[str, str]
    ) -> None:
        folder = cluster.folder()
        assert folder
        path = VolumesFolder(folder.here, folder.in_node).on_this_machine(core.read_persistent_volume(data["data-kafka-2"]).spec.local.path)
        assert path
        assert path.is_dir()
        said = works(program.ops("volumes", "prune", "--yes", data["data-kafka-2"]))
        assert said.endswith("Deleted.\n")
        assert not path.exists()
        assert set(data.values()) - {data["data-kafka-2"]} | {"other"} == {
            each.metadata.name for each in core.list_persistent_volume().items
        }

    def test_by_age(self, program: Program, core: client.CoreV1Api, data: dict[str, str]) -> None:
        program.destroy()
        works(program.ops("volumes", "prune", "--yes", "--older-than", "0m"))
        assert [each.metadata.name for each in core.list_persistent_volume().items] == ["other"]


def test_twenty_claims_that_find_their_volumes_waiting(
    program_factory: Callable[..., Program], access: Access, cluster: Cluster, core: client.CoreV1Api
) -> None:
    """Pre-bound all at once: none hangs, each has its own."""
    program = program_factory(access=access)
    many = {"kafka": {"tier": "streaming", "size": "64Mi", "replicas": 20}}
    program.configure(cluster={"context": access.context, "identifier": access.context}, canary={"enabled": False}, services=many)
    node = core.list_node().items[0].metadata.labels["kubernetes.io/hostname"]
    names = {f"data-kafka-{ordinal}": f"twenty-{ordinal}" for ordinal in range(20)}
    for ordinal, (claim, name) in enumerate(names.items()):
        reference = {"namespace": "data", "name": claim, "uid": f"00000000-0000-0000-0000-{ordinal:012}"}
        labels = Stamp("dev", "kafka", ordinal, "streaming").labels
        core.create_persistent_volume(another_volume(name, f"/nowhere/{name}", node, labels, claimRef=reference))
    eventually(lambda: {each.status.phase for each in core.list_persistent_volume().items} == {"Released"}, "twenty are Released")
    try:
        works(program.ops("volumes", "adopt"))
        program.up()
        works(program.ops("volumes", "adopt"))  # waits for those that are not bound yet
        eventually(lambda: bound(core) == names, "twenty are bound", 60)
        program.up("--refresh", "--expect-no-changes")
    finally:
        program.destroy()
        for name in names.values():
            core.delete_persistent_volume(name)
    eventually(lambda: not core.list_persistent_volume().items, "the twenty are gone")
