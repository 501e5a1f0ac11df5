"""What a rehearsal on real disks asks for: changes that the settings take, places for pods, and old
disks by their handles."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from components.settings import Settings, load
from dev.rehearsal.cluster import Disks
from dev.rehearsal.consumers import Consumers, pod_on, stateful_set
from dev.rehearsal.on_disks import OnDisks
from devkube import paths
from devkube.cluster import EmbeddedCluster
from devkube.cluster.node import ZONE
from ops import stack_file
from ops.errors import UserError

DISKS = Disks("ebs", ("zone-1", "zone-2"))


class Program:
    """Keeps what settings were changed to."""

    def __init__(self) -> None:
        self.changes: dict[str, Any] = {}

    def override(self, changes: dict[str, Any]) -> None:
        self.changes |= changes


class Api:
    """Persistent volumes and nodes, and what of it was deleted."""

    def __init__(self, volumes: list[dict[str, Any]] | None = None, nodes: dict[str, str] | None = None) -> None:
        self.volumes = {volume["metadata"]["name"]: volume for volume in volumes or []}
        self.nodes = nodes or {}

    def items(self, path: str) -> list[dict[str, Any]]:
        if path == "/api/v1/nodes":
            return [{"metadata": {"name": name, "labels": {ZONE: zone}}} for name, zone in self.nodes.items()]
        assert path == "/api/v1/persistentvolumes"
        return list(self.volumes.values())

    def delete(self, path: str) -> None:
        del self.volumes[path.rsplit("/", 1)[1]]

    def find(self, path: str) -> dict[str, Any] | None:
        return self.volumes.get(path.rsplit("/", 1)[1])


def settings_of(stack: str, folder: Path, changes: dict[str, Any]) -> Settings:
    """The settings of a committed stack, changed."""
    file = folder / f"Pulumi.{stack}.yaml"
    shutil.copy(paths.ROOT / file.name, file)
    stack_file.change(file, changes)
    return load(stack_file.raw_config(file), stack)


def on_disks(settings: Settings, api: Any = None, program: Any = None) -> OnDisks:
    claims = {
        name: [{"name": f"data-{name}-{ordinal}", "storageClass": "any", "provisioned": "5Gi"} for ordinal in range(service.replicas)]
        for name, service in settings.services.items()
    }
    consumers = Consumers(api, [], "data", claims, dict.fromkeys(claims, DISKS.zones))
    cluster = EmbeddedCluster("rehearse-unit", "context", Path("/nowhere"))
    return OnDisks(program, api, [], settings, cluster, DISKS, consumers)


def test_what_changes_on_a_stack_of_ebs(tmp_path: Path) -> None:
    settings = settings_of("aws", tmp_path, {})
    assert on_disks(settings).changes() == {
        "protect": False,
        "services.postgres.size": "6Gi",
        "services.kafka.size": "5Gi",
        "services.postgres.restores": 1,
        "tiers.streaming.mountOptions": ["noatime", "nodev"],
        "tiers.database.snapshots": {},
        "tiers.database.attributes": {"rehearsed": {"throughput": 150}},
    }


HYPERDISK = {"tiers.streaming.type": "hyperdisk-balanced", "services.kafka.size": "8Gi"}


@pytest.mark.parametrize(
    ("stack", "changes", "attributes"),
    [
        ("aws", {}, {"tiers.database.attributes": {"rehearsed": {"throughput": 150}}}),
        ("aws", {"tiers.database.throughput": 740}, {"tiers.database.attributes": {"rehearsed": {"throughput": 715}}}),
        ("aws", {"tiers.database.snapshots": {"deletionPolicy": "Retain"}, "tiers.streaming.mountOptions": ["nodev"]}, None),
        ("gcp", {}, {}),  # no disk of its types can be changed
        ("gcp", HYPERDISK, {"tiers.streaming.attributes": {"rehearsed": {"throughput": 165}}}),
    ],
)
def test_the_settings_take_every_change(stack: str, changes: dict[str, Any], attributes: dict[str, Any] | None, tmp_path: Path) -> None:
    before = settings_of(stack, tmp_path, changes)
    made = on_disks(before).changes()
    after = settings_of(stack, tmp_path, {**changes, **made})
    if attributes is not None:
        assert {path: value for path, value in made.items() if path.endswith(".attributes")} == attributes
    for name, service in after.services.items():
        assert service.size.provisioned_bytes > before.services[name].size.provisioned_bytes
    tiers = before.tiers["streaming"], after.tiers["streaming"]
    first, second = (before.provisioner.storage_class(tier.parameters).mount_options for tier in tiers)
    assert len(second) == len(first) + 1
    assert after.provisioner.snapshot_class(after.tiers["database"].parameters) is not None


def test_pods_are_spread_over_the_zones_and_begin_in_the_first() -> None:
    claims = [{"storageClass": "fast", "provisioned": "4Gi"}] * 3
    made = stateful_set("kafka", claims, ["zone-1", "zone-2"])["spec"]["template"]
    rule = made["spec"]["affinity"]["nodeAffinity"]
    required = rule["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert required == [{"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["zone-1", "zone-2"]}]}]
    assert rule["preferredDuringSchedulingIgnoredDuringExecution"][0]["preference"]["matchExpressions"][0]["values"] == ["zone-1"]
    (spread,) = made["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == made["metadata"]["labels"]
    bare = stateful_set("kafka", claims)["spec"]["template"]["spec"]
    assert not {"affinity", "topologySpreadConstraints"} & set(bare)
    assert pod_on("restored")["spec"]["volumes"][-1] == {"name": "data", "persistentVolumeClaim": {"claimName": "restored"}}


@pytest.mark.parametrize(("spread", "refused"), [(("zone-1", "zone-2", "zone-1"), False), (("zone-1",) * 3, True)])
def test_pods_in_one_zone_alone_are_told(
    spread: tuple[str, ...], *, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = on_disks(settings_of("aws", tmp_path, {}), Api(nodes={f"node-{zone}": zone for zone in DISKS.zones}))
    pods = {"postgres-0": "zone-1", **{f"kafka-{ordinal}": zone for ordinal, zone in enumerate(spread)}}
    found = {name: {"spec": {"nodeName": f"node-{zone}"}} for name, zone in pods.items()}
    monkeypatch.setattr(Consumers, "found", lambda _: found)
    outputs = {"canary": {"database": {"places": [{"zone": "zone-1", "verdict": "proven"}]}, "streaming": {}}}
    if refused:
        with pytest.raises(UserError, match="the 3 pods of kafka are in zone-1, and not in 2 zones"):
            made.look_at_places(outputs)
    else:
        assert made.look_at_places(outputs) == "postgres in zone-1; kafka in zone-1, zone-2"
    outputs["canary"]["database"]["places"].append({"zone": "zone-2", "verdict": "not-proven"})
    with pytest.raises(UserError, match="tier database is not proven in zone-2"):
        made.look_at_places(outputs)


def volume(claim: str, handle: str, zone: str = "zone-1") -> dict[str, Any]:
    expression = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}
    spec = {
        "csi": {"volumeHandle": handle},
        "capacity": {"storage": "6Gi"},
        "claimRef": {"name": claim},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
    }
    return {"metadata": {"name": f"pvc-{claim}"}, "spec": spec}


def test_half_of_the_volumes_are_forgotten_and_named_by_their_disks(tmp_path: Path) -> None:
    disk = "projects/p/zones/zone-2/disks/pvc-1"
    api = Api(
        [
            volume("data-postgres-0", "vol-01"),
            volume("restored-postgres-0", "vol-02"),  # no claim of the stack
            volume("data-kafka-0", "vol-03"),
            volume("data-kafka-1", "vol-04", "zone-2"),
            volume("data-kafka-2", disk, "zone-2"),
        ]
    )
    program = Program()
    said = on_disks(settings_of("aws", tmp_path, {}), api, program).forget()
    assert said == "2 Released volumes, 2 by the handles of their disks"
    assert program.changes == {"adopt.kafka": {"1": "aws://zone-2/vol-04@6Gi", "2": f"{disk}@6Gi"}, "canary.spread": "none"}
    assert list(api.volumes) == ["pvc-data-postgres-0", "pvc-restored-postgres-0", "pvc-data-kafka-0"]


def test_a_regional_disk_is_not_forgotten_because_its_handle_has_no_zone(tmp_path: Path) -> None:
    api, program = Api([volume("data-kafka-2", "projects/p/regions/r/disks/pvc-1")]), Program()
    assert on_disks(settings_of("gcp", tmp_path, {}), api, program).forget() == "4 Released volumes, 0 by the handles of their disks"
    assert program.changes == {"canary.spread": "none"}
    assert api.volumes
