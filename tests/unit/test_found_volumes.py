"""Data without a PersistentVolume: whose it is by its directory's name, and the volume that is
declared for it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.kube.ownership import Stamp
from components.kube.quantity import GI
from components.settings import load
from ops.errors import UserError
from ops.volumes import found, saved
from ops.volumes.found import VolumesFolder
from ops.volumes.matching import make_plan
from ops.volumes.volume import Location, Reference, Volume
from ops.volumes.wanted import Wanted, wanted_claims
from tests.unit.mocked_program import stack_config
from tests.unit.volume_objects import NODE, settings, volume, wanted

PATTERN = "{{ .PVC.Namespace }}/{{ .PVC.Name }}/{{ .PVName }}"
PVC_1, PVC_2 = (f"pvc-9d8d66f1-cb44-4fa9-bbc4-bdb3165f0c3{number}" for number in (1, 2))


@pytest.fixture
def folder(tmp_path: Path) -> VolumesFolder:
    """As Kind has it: another path here than in the node."""
    for name in (
        f"{PVC_1}_data_data-kafka-1",
        f"{PVC_2}_data_data-kafka-2",
        f"backup_{PVC_1}_data_data-kafka-1",
        f"{PVC_1}-old_data_data-kafka-1",
        "backup_data_data-kafka-2",
        f"{PVC_1}_other_data-kafka-1",
        f"{PVC_1}_data_notes",
        "data/data-kafka-0/pvc-5",
    ):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / f"{PVC_1}_data_data-kafka-0").write_text("no directory")
    return VolumesFolder(tmp_path, "/in/node")


def names(volumes: list[Volume]) -> dict[str, str]:
    return {str(each.stamp): each.location.path for each in volumes}


def test_directories_are_known_by_their_names(folder: VolumesFolder) -> None:
    made = list(found.directories(folder, wanted_claims(settings()), [], [NODE]))
    assert names(made) == {
        "kafka 1 of stack dev": f"/in/node/{PVC_1}_data_data-kafka-1",
        "kafka 2 of stack dev": f"/in/node/{PVC_2}_data_data-kafka-2",
    }
    assert [each.name for each in made] == [PVC_1, PVC_2], "the volumes get their old names"
    assert {each.node for each in made} == {"here"}


def test_and_by_those_of_a_path_pattern(folder: VolumesFolder) -> None:
    tiers = {"database": {}, "streaming": {"pathPattern": PATTERN}}
    made = names(list(found.directories(folder, wanted_claims(settings(tiers=tiers)), [], [NODE])))
    assert made["kafka 0 of stack dev"] == "/in/node/data/data-kafka-0/pvc-5"
    assert len(made) == 3, "those from before the pattern was set are found too"


def test_a_directory_that_a_volume_names_is_that_volumes(folder: VolumesFolder) -> None:
    there = volume("mine", local={"path": f"/in/node/{PVC_1}_data_data-kafka-1"})
    assert list(names(list(found.directories(folder, wanted_claims(settings()), [there], [NODE])))) == ["kafka 2 of stack dev"]


def test_with_several_nodes_nothing_is_said(folder: VolumesFolder) -> None:
    assert not list(found.directories(folder, wanted_claims(settings()), [], [NODE, NODE]))


def test_a_directory_is_on_the_node_whose_part_of_the_folder_it_is_in(tmp_path: Path) -> None:
    """As an embedded cluster of several nodes has it, the first node's part around the others'."""
    for name in (f"{PVC_1}_data_data-kafka-1", f"two/{PVC_2}_data_data-kafka-2", "two/data-kafka-0"):
        (tmp_path / name).mkdir(parents=True)
    parts = {str(tmp_path): "one", str(tmp_path / "two"): "two", str(tmp_path / "gone"): "gone"}
    several = VolumesFolder(tmp_path, str(tmp_path), nodes=parts)
    nodes = [{"metadata": {"name": name, "labels": {"kubernetes.io/hostname": f"{name}.example"}}} for name in ("one", "two")]
    made = {str(each.stamp): each.node for each in found.directories(several, wanted_claims(settings()), [], nodes)}
    assert made == {"kafka 1 of stack dev": "one.example", "kafka 2 of stack dev": "two.example"}
    chosen = found.declare(wanted(), str(tmp_path / "two/data-kafka-0"), [], nodes, several)
    assert isinstance(chosen, Volume) and chosen.node == "two.example"
    assert "on which node is it? The nodes are one, two" in str(found.declare(wanted(), "/elsewhere", [], nodes, several))


@pytest.mark.parametrize(
    ("path", "claim"),
    [
        ("/v/pvc-1_data_data-kafka-1", Reference("data", "data-kafka-1")),
        ("/v/data/data-kafka-1/pvc-1", Reference("data", "data-kafka-1")),
        ("/v/data/data-kafka-1", Reference("data", "data-kafka-1")),
        ("/v/restored", None),
        ("/v", None),
    ],
)
def test_the_claim_that_a_directory_was_made_for(path: str, claim: Reference | None) -> None:
    assert found.claim_of(path) == claim


def declared(choice: str, nodes: list[dict[str, Any]] | None = None, folder: VolumesFolder | None = None, **changes: Any) -> Volume | str:
    return found.declare(replace(wanted(), **changes), choice, [], [NODE] if nodes is None else nodes, folder)


def zoned(*zones: str) -> list[dict[str, Any]]:
    return [{"metadata": {"name": zone, "labels": {"topology.kubernetes.io/zone": zone}}} for zone in zones]


EBS: dict[str, Any] = {"provisioner": "ebs.csi.aws.com", "on_node": False, "disk": 6 * GI}
PD: dict[str, Any] = {"provisioner": "pd.csi.storage.gke.io", "on_node": False, "disk": 6 * GI}


OR_ELSE = "Give a saved list (`--from`), or declare a PersistentVolume for it"


class TestDeclared:
    def test_a_path(self, folder: VolumesFolder) -> None:
        made = declared("/somewhere/restored")
        assert isinstance(made, Volume)
        assert (made.location, made.node, made.claim) == (Location("local", path="/somewhere/restored"), "here", None)
        assert made == declared("/somewhere/restored"), "two runs declare one object"
        assert made != declared("/somewhere/else")
        (folder.here / "restored").mkdir()
        assert isinstance(declared("/in/node/restored", folder=folder), Volume)

    def test_a_disk_of_google_with_its_zone(self) -> None:
        made = declared("projects/p/zones/europe-west1-b/disks/pvc-1", zoned("europe-west1-c"), **PD)
        assert isinstance(made, Volume)
        assert made.location == Location(
            "csi", driver=PD["provisioner"], handle="projects/p/zones/europe-west1-b/disks/pvc-1", fs_type="ext4"
        )
        assert made.zone == "europe-west1-b"
        assert made.node_terms[0]["matchExpressions"][0]["key"] == "topology.gke.io/zone"

    @pytest.mark.parametrize("choice", ["vol-0a1b", "aws://eu-central-1a/vol-0a1b"])
    def test_an_ebs_volume(self, choice: str) -> None:
        made = declared(choice, zoned("eu-central-1a", "eu-central-1a"), fs_type="xfs", **EBS)
        assert isinstance(made, Volume)
        assert made.location == Location("csi", driver="ebs.csi.aws.com", handle="vol-0a1b", fs_type="xfs")
        assert made.zone == "eu-central-1a"

    def test_an_ebs_volume_in_one_of_several_zones(self) -> None:
        assert declared("vol-0a1b", zoned("a", "b"), **EBS) == (
            "in which zone is it? The nodes are in a, b. Write aws://<zone>/vol-0a1b "
            "(`aws ec2 describe-volumes --volume-ids vol-0a1b --query 'Volumes[].AvailabilityZone'`)"
        )
        made = declared("aws://b/vol-0a1b", zoned("a", "b"), **EBS)
        assert isinstance(made, Volume)
        assert made.zone == "b"

    @pytest.mark.parametrize(
        ("choice", "options", "command"),
        [
            ("vol-0a1b", EBS, "aws ec2 describe-volumes --volume-ids vol-0a1b --query 'Volumes[].Size'"),
            ("aws://a/vol-0a1b", EBS, "aws ec2 describe-volumes --volume-ids vol-0a1b --query 'Volumes[].Size'"),
            (
                "projects/p/zones/a/disks/d-1",
                PD,
                "gcloud compute disks describe d-1 --project p --zone a --format 'value(sizeGb)'",
            ),
        ],
    )
    def test_the_size_of_a_disk_is_asked_for_and_never_made_up(self, choice: str, options: dict[str, Any], command: str) -> None:
        assert declared(choice, zoned("a"), **{**options, "disk": None}) == (
            f"how large is it? Nothing in the cluster says. Write {choice}@<size>, with what `{command}` says: {choice}@6Gi for 6"
        )
        made = declared(choice, zoned("a"), **options)
        assert isinstance(made, Volume)
        assert made.capacity == 6 * GI

    @pytest.mark.parametrize(("size", "fits"), [("3380Mi", True), ("6Gi", True), ("3379Mi", False)])
    def test_the_size_that_is_said_is_what_the_claim_must_fit_in(self, size: str, fits: bool) -> None:
        each = wanted(adopt={"kafka": {"1": f"vol-0a1b@{size}"}})
        assert each.choice == "vol-0a1b"
        cloud = replace(each, provisioner="ebs.csi.aws.com", on_node=False, grows=True)
        nodes = zoned("a")
        made = make_plan([cloud], [], [], nodes, lambda claim, choice: found.declare(claim, choice, [], nodes))
        assert bool(made.gives) is fits
        if not fits:
            ((_, problem),) = made.problems
            assert "has 3379Mi, the claim asks for 3380Mi. Set services.kafka.size to no more than it has (more once it is bound" in problem

    def test_mount_options_are_those_of_the_class(self) -> None:
        made = declared("vol-0a1b", zoned("a"), mount_options=("noatime", "discard"), **EBS)
        assert isinstance(made, Volume)
        assert found.manifest(wanted(), made)["spec"]["mountOptions"] == ["noatime", "discard"]

    @pytest.mark.parametrize(
        ("choice", "options", "words"),
        [
            ("/in/node/gone", {"folder": True}, "there is no directory {here}/gone"),
            (
                "/a",
                {"nodes": zoned("a", "b")},
                f"on which node is it? The nodes are a, b. {OR_ELSE}",
            ),
            ("/a", EBS, "no volume of the cluster has that path, and ebs.csi.aws.com keeps no volumes in folders of a node"),
            (
                "projects/p/regions/r/disks/d",
                PD,
                f"the zones of a regional disk can't be read from its name. {OR_ELSE}",
            ),
            (
                "vol-0a1b",
                {},
                "no volume of the cluster has that name, path or handle, "
                "and it is no form in which rancher.io/local-path names its volumes",
            ),
        ],
    )
    def test_refused(self, choice: str, options: dict[str, Any], words: str, folder: VolumesFolder) -> None:
        given = {**options, "folder": folder if options.get("folder") else None}
        assert declared(choice, **given) == words.format(here=folder.here)


def test_a_path_with_another_claims_name_is_another_claims() -> None:
    each = wanted(adopt={"kafka": {"1": "/v/pvc-2_data_data-kafka-2"}})
    made = make_plan([each], [], [], [NODE], lambda claim, choice: found.declare(claim, choice, [], [NODE]))
    assert [problem for _, problem in made.problems] == [
        "adopt.kafka.1: /v/pvc-2_data_data-kafka-2: pvc-2 was last the volume of data/data-kafka-2. "
        "If it is meant for data-kafka-1 all the same, give the directory a name of its own and name that"
    ]


def test_the_object_is_reserved_stamped_retained_and_known_to_its_provisioner() -> None:
    each = wanted()
    made = declared("/somewhere/restored")
    assert isinstance(made, Volume)
    assert found.manifest(each, made) == {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": made.name,
            "labels": Stamp("dev", "kafka", 1, "streaming").labels,
            "annotations": {"pv.kubernetes.io/provisioned-by": "rancher.io/local-path"},
        },
        "spec": {
            "capacity": {"storage": "3380Mi"},
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "streaming-local-path",
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "data", "name": "data-kafka-1"},
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["here"]}]}]
                }
            },
            "local": {"path": "/somewhere/restored"},
        },
    }
    disk = declared("vol-0a1b", zoned("a"), **EBS)
    assert isinstance(disk, Volume)
    spec = found.manifest(each, disk)["spec"]
    assert spec["csi"] == {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-0a1b", "fsType": "ext4"}
    assert "local" not in spec


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "service": "kafka",
        "ordinal": 1,
        "tier": "streaming",
        "name": "pvc-1",
        "uid": "u",
        "stamped": True,
        "phase": "Bound",
        "storageClass": "streaming-local-path",
        "capacityBytes": 3380 * 2**20,
        "usedBytes": None,
        "accessModes": ["ReadWriteOnce"],
        "volumeMode": "Filesystem",
        "created": "2026-01-01T00:00:00Z",
        "phaseSince": None,
        "claim": {"namespace": "data", "name": "data-kafka-1", "uid": "c"},
        "node": "here",
        "zone": "",
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["here"]}]}],
        "data": {"type": "local", "path": "/volumes/pvc-1", "driver": "", "handle": "", "fsType": ""},
        "adoption": {"possible": False, "how": "in use"},
        **changes,
    }


def saved_file(tmp_path: Path, *volumes: dict[str, Any], **changes: Any) -> Path:
    file = tmp_path / "saved.json"
    file.write_text(json.dumps({"format": 1, "stack": "dev", "namespace": "data", "cluster": {}, "volumes": list(volumes), **changes}))
    return file


class TestSaved:
    def test_what_the_cluster_doesnt_have(self, tmp_path: Path) -> None:
        file = saved_file(
            tmp_path,
            entry(),
            entry(name="pvc-2", ordinal=2, data={"type": "nfs"}),
            entry(name="pvc-3", data={"type": "awsElasticBlockStore", "handle": "vol-0a"}),
        )
        made = list(saved.read(file, settings(), []))
        assert [each.name for each in made] == ["pvc-1"], "only what can be declared again"
        plan = make_plan([wanted()], [], made, [NODE])
        assert [each.name for each in plan.gives.values()] == ["pvc-1"]
        assert not list(saved.read(file, settings(), [volume("pvc-1", local={"path": "/moved"})]))
        assert not list(saved.read(file, settings(), [volume("x", local={"path": "/volumes/pvc-1"})]))

    @pytest.mark.parametrize(
        ("noted", "options"),
        [
            ({}, ["noatime"]),
            ({"mountOptions": None}, ["noatime"]),
            ({"mountOptions": ["discard"]}, ["discard"]),
            ({"mountOptions": []}, []),
        ],
    )
    def test_mount_options_are_those_of_the_list_and_for_one_of_an_older_version_the_class_s(
        self, noted: dict[str, Any], options: list[str], tmp_path: Path
    ) -> None:
        stack = load(
            stack_config("aws", tiers={"database": {"type": "gp3"}, "streaming": {"type": "gp3", "mountOptions": ["noatime"]}}), "aws"
        )
        data = {"type": "csi", "driver": "ebs.csi.aws.com", "handle": "vol-0a"}
        volumes = [entry(storageClass="streaming-ebs", data=data, attributesClass="streaming-ebs-fast", **noted)]
        (made,) = saved.read(saved_file(tmp_path, *volumes, stack="aws"), stack, [])
        declared_again = found.manifest(wanted(), made)
        assert declared_again["spec"].get("mountOptions", []) == options
        # No claim of the stack would be bound to a volume that names a class.
        assert "volumeAttributesClassName" not in declared_again["spec"]
        assert declared_again["metadata"]["annotations"]["storage-tiers/attributes-class"] == "streaming-ebs-fast"

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"stack": "other"}, "lists the volumes of stack other in namespace data, not of dev in data."),
            ({"namespace": "x"}, "lists the volumes of stack dev in namespace x, not of dev in data."),
            ({"format": 2}, "has format 2, and this version reads 1."),
            ({"volumes": [{"service": "kafka"}]}, "is no list of volumes (volumes.0.ordinal: Field required)."),
        ],
    )
    def test_refused(self, changes: dict[str, Any], words: str, tmp_path: Path) -> None:
        with pytest.raises(UserError) as refused:
            list(saved.read(saved_file(tmp_path, **changes), settings(), []))
        assert words in str(refused.value)

    def test_no_file_and_no_json(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="there is no such file"):
            list(saved.read(tmp_path / "missing", settings(), []))
        (tmp_path / "text").write_text("kafka")
        with pytest.raises(UserError, match="is no list of volumes"):
            list(saved.read(tmp_path / "text", settings(), []))


def test_a_volume_with_an_attributes_class_is_declared_anew_without_it() -> None:
    source = {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-0a", "fsType": "xfs", "volumeAttributes": {"partition": "0"}}
    old = {
        "metadata": {
            "name": "pvc-1",
            "uid": "u",
            "labels": {"mine": "too"},
            "annotations": {"pv.kubernetes.io/provisioned-by": "ebs.csi.aws.com", "pv.kubernetes.io/bound-by-controller": "yes"},
        },
        "spec": {
            "capacity": {"storage": "6Gi"},
            "csi": source,
            "mountOptions": ["noatime"],
            "persistentVolumeReclaimPolicy": "Delete",
            "volumeAttributesClassName": "streaming-ebs-fast",
            "claimRef": {"namespace": "data", "name": "data-kafka-1", "uid": "gone"},
        },
    }
    made = found.without_attributes_class(wanted(), old)
    assert made == found.without_attributes_class(wanted(), old), "two runs declare one object"
    assert made["metadata"]["labels"] == {"mine": "too", **Stamp("dev", "kafka", 1, "streaming").labels}
    assert made["metadata"]["annotations"] == {
        "pv.kubernetes.io/provisioned-by": "ebs.csi.aws.com",
        "storage-tiers/attributes-class": "streaming-ebs-fast",
        "storage-tiers/was": "pvc-1",
    }
    assert made["spec"] == {
        "capacity": {"storage": "6Gi"},
        "csi": source,
        "mountOptions": ["noatime"],
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "data", "name": "data-kafka-1"},
    }


def test_wanted_is_what_the_settings_say() -> None:
    each: Wanted = wanted("data-postgres-0", adopt={"postgres": {"0": "/old"}})
    assert (each.service, each.ordinal, each.tier, each.storage_class) == ("postgres", 0, "database", "database-local-path")
    assert (each.size, each.capacity, each.access_mode, each.choice, each.on_node) == ("5Gi", 5 * 2**30, "ReadWriteOnce", "/old", True)
