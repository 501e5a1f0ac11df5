"""The claims that operators make of their own objects, of those operators that are known here.

Strimzi: kafka.strimzi.io, Kafka and KafkaNodePool (storage: ephemeral, persistent-claim or jbod).
CloudNativePG: postgresql.cnpg.io, Cluster; EDB's own build of it has another group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from policy.resources import DeclaredClaim, DeclaredResource, count, get, indexed

_STRIMZI = "kafka.strimzi.io"


def _kafka(resource: DeclaredResource) -> Iterator[DeclaredClaim]:
    """The brokers' and ZooKeeper's; with node pools, or with KRaft, Strimzi reads neither here."""
    for part, otherwise in (("kafka", "node-pools"), ("zookeeper", "kraft")):
        if resource.get("metadata", "annotations", f"strimzi.io/{otherwise}") != "enabled":
            pods = count(resource.get("spec", part, "replicas"))
            yield from _strimzi(resource, ("spec", part, "storage"), pods)


def _node_pool(resource: DeclaredResource) -> Iterator[DeclaredClaim]:
    yield from _strimzi(resource, ("spec", "storage"), count(resource.get("spec", "replicas")))


def _strimzi(resource: DeclaredResource, path: tuple[str, ...], pods: int) -> Iterator[DeclaredClaim]:
    storage, field = resource.get(*path), ".".join(path)
    disks = {field: storage}
    if get(storage, "type") == "jbod":
        disks = {f"{field}.volumes[{index}]": volume for index, volume in indexed(get(storage, "volumes"))}
    for at, disk in disks.items():
        if get(disk, "type") != "persistent-claim":
            continue
        # A class of its own for one broker, in the versions that had node pools not yet.
        brokers = {f"{at}.overrides[{index}]": each for index, each in indexed(get(disk, "overrides"))}
        for where, broker in brokers.items():
            yield DeclaredClaim(resource.title, None, get(broker, "class"), f"{where}.class", get(disk, "size"))
        if len(brokers) < max(pods, 1):
            others = pods - len(brokers)
            yield DeclaredClaim(resource.title, None, get(disk, "class"), f"{at}.class", get(disk, "size"), replicas=others)


def _postgres(resource: DeclaredResource) -> Iterator[DeclaredClaim]:
    """Of each instance: its data, its WAL, its tablespaces, and a volume for temporary files."""
    pods = count(resource.get("spec", "instances"))
    places = {f"spec.{name}": resource.get("spec", name) for name in ("storage", "walStorage")}
    for index, tablespace in indexed(resource.get("spec", "tablespaces")):
        places[f"spec.tablespaces[{index}].storage"] = get(tablespace, "storage")
    for field, storage in places.items():
        if isinstance(storage, Mapping):
            yield _of_storage(resource, field, storage, pods)
    template = resource.get("spec", "ephemeralVolumeSource", "volumeClaimTemplate")
    if get(template, "spec"):
        yield DeclaredClaim.by_template(f"{resource.title}, spec.ephemeralVolumeSource", template, replicas=pods, ephemeral=True)


def _of_storage(resource: DeclaredResource, field: str, storage: Mapping[str, object], pods: int) -> DeclaredClaim:
    """Class and size beside a template win over the template's own."""
    template = get(storage, "pvcTemplate")
    by_template = {"storageClass": get(template, "storageClassName"), "size": get(template, "resources", "requests", "storage")}
    values = {key: get(storage, key) if get(storage, key) is not None else value for key, value in by_template.items()}
    inherited = get(storage, "storageClass") is None and by_template["storageClass"] is not None
    return DeclaredClaim(
        resource.title,
        storage_class=values["storageClass"],
        class_field=f"{field}.pvcTemplate.storageClassName" if inherited else f"{field}.storageClass",
        size=values["size"],
        modes=get(template, "accessModes"),
        modes_field=f"{field}.pvcTemplate.accessModes",
        replicas=pods,
    )


# By the API group and the kind, whatever the version.
KNOWN: Mapping[tuple[str, str], Callable[[DeclaredResource], Iterator[DeclaredClaim]]] = {
    (_STRIMZI, "Kafka"): _kafka,
    (_STRIMZI, "KafkaNodePool"): _node_pool,
    ("postgresql.cnpg.io", "Cluster"): _postgres,
    ("postgresql.k8s.enterprisedb.io", "Cluster"): _postgres,
}
