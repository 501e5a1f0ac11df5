"""What the policy pack finds in objects as people write them: operators' objects, charts' values,
patches, lists and older APIs.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import pytest
import yaml

from policy import rules
from policy.claims import claims_of
from policy.resources import RELEASE, UNKNOWN, DeclaredResource, with_items

ALLOWED = ["database-ebs", "streaming-ebs"]


def declared(text: str, patch: bool = False) -> Any:
    """A manifest as Pulumi's Kubernetes provider registers it."""
    manifest = yaml.safe_load(dedent(text))
    api = manifest["apiVersion"] if "/" in manifest["apiVersion"] else f"core/{manifest['apiVersion']}"
    return DeclaredResource(f"kubernetes:{api}:{manifest['kind']}{'Patch' if patch else ''}", "it", manifest, stack="aws")


def release(text: str) -> DeclaredResource:
    return DeclaredResource(RELEASE, "it", {"name": "shop", "namespace": "shop", "chart": "shop", "values": yaml.safe_load(dedent(text))})


def classes(resource: DeclaredResource) -> list[str]:
    """The refused classes: the field and its value."""
    found = [message.removeprefix(f"{resource.title}: ").split(": ") for message in rules.claims_on_allowed_tiers(resource, ALLOWED)]
    return [f"{field}: {value}" for field, value, *_ in found]


def asked(*resources: DeclaredResource, storage_class: str = "streaming-ebs") -> int:
    """The GiB that are asked for of a class: the least limit that holds."""
    return next(limit for limit in range(999) if not [*rules.claims_within_allocation(resources, {storage_class: f"{limit}Gi"})])


NODE_POOL = """
    apiVersion: kafka.strimzi.io/v1beta2
    kind: KafkaNodePool
    metadata: {name: brokers, namespace: shop, labels: {strimzi.io/cluster: events}}
    spec:
      replicas: 3
      roles: [broker]
      storage:
        type: jbod
        volumes:
        - {id: 0, type: persistent-claim, size: 100Gi, class: streaming-ebs, deleteClaim: false, kraftMetadata: shared}
        - {id: 1, type: persistent-claim, size: 50Gi, class: gp2}
        - {id: 2, type: persistent-claim, size: 10Gi}
        - {id: 3, type: ephemeral, sizeLimit: 1Gi}
"""
KAFKA = """
    apiVersion: kafka.strimzi.io/v1beta2
    kind: Kafka
    metadata: {name: events, namespace: shop}
    spec:
      kafka:
        replicas: 3
        storage:
          type: persistent-claim
          size: 100Gi
          class: streaming-ebs
          overrides: [{broker: 0, class: gp2-zone-a}, {broker: 1, class: streaming-ebs}]
      zookeeper:
        replicas: 3
        storage: {type: persistent-claim, size: 5Gi, class: gp2}
"""
POSTGRES = """
    apiVersion: postgresql.cnpg.io/v1
    kind: Cluster
    metadata: {name: orders, namespace: shop}
    spec:
      instances: 2
      storage: {size: 20Gi, storageClass: database-ebs}
      walStorage:
        pvcTemplate:
          accessModes: [ReadWriteMany]
          storageClassName: gp2
          resources: {requests: {storage: 4Gi}}
      tablespaces:
      - {name: archive, storage: {size: 8Gi, storageClass: database-ebs, pvcTemplate: {storageClassName: gp2}}}
      - {name: scratch, temporary: true, storage: {size: 1Gi}}
      ephemeralVolumeSource:
        volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], storageClassName: gp3, resources: {requests: {storage: 2Gi}}}}
"""


def test_strimzi_node_pools() -> None:
    pool = declared(NODE_POOL)
    assert pool.title == "KafkaNodePool shop/brokers"
    assert classes(pool) == ['spec.storage.volumes[1].class: "gp2"', "spec.storage.volumes[2].class: (missing)"]
    assert (asked(pool), asked(pool, storage_class="gp2")) == (300, 150)
    one = declared(NODE_POOL)
    one.properties["spec"]["storage"] = {"type": "persistent-claim", "size": "7Gi", "class": "gp2"}
    assert classes(one) == ['spec.storage.class: "gp2"'] and asked(one, storage_class="gp2") == 21
    one.properties["spec"]["storage"] = {"type": "ephemeral"}
    assert not list(claims_of(one))


def test_strimzi_kafka_with_its_own_storage_and_without() -> None:
    kafka = declared(KAFKA)
    assert classes(kafka) == ['spec.kafka.storage.overrides[0].class: "gp2-zone-a"', 'spec.zookeeper.storage.class: "gp2"']
    assert (asked(kafka), asked(kafka, storage_class="gp2-zone-a"), asked(kafka, storage_class="gp2")) == (200, 100, 15)
    kafka.properties["metadata"]["annotations"] = {"strimzi.io/node-pools": "enabled", "strimzi.io/kraft": "enabled"}
    assert not list(claims_of(kafka)), "Strimzi reads the storage of the node pools alone"


@pytest.mark.parametrize("group", ["postgresql.cnpg.io", "postgresql.k8s.enterprisedb.io"])
def test_cloudnativepg_clusters(group: str) -> None:
    cluster = declared(POSTGRES.replace("postgresql.cnpg.io", group))
    found = [message.split(": ")[:3] for message in rules.claims_on_allowed_tiers(cluster, ALLOWED)]
    assert found == [
        ["Cluster shop/orders", "spec.walStorage.pvcTemplate.storageClassName", '"gp2"'],
        ["Cluster shop/orders", "spec.tablespaces[1].storage.storageClass", "(missing)"],
        ["Cluster shop/orders, spec.ephemeralVolumeSource", "spec.storageClassName", '"gp3"'],
    ]
    assert [asked(cluster, storage_class=name) for name in ("database-ebs", "gp2", "gp3")] == [56, 8, 4]
    assert [message.split(": ")[:3] for message in rules.single_writer_access(cluster)] == [
        ["Cluster shop/orders", "spec.walStorage.pvcTemplate.accessModes", '"ReadWriteMany"']
    ]


OTHERS = {
    "an operator's pods (Elastic)": (
        """
        apiVersion: elasticsearch.k8s.elastic.co/v1
        kind: Elasticsearch
        metadata: {name: logs}
        spec:
          version: 8.15.0
          nodeSets:
          - name: hot
            count: 3
            volumeClaimTemplates:
            - metadata: {name: elasticsearch-data}
              spec: {accessModes: [ReadWriteOnce], storageClassName: gp2, resources: {requests: {storage: 5Gi}}}
        """,
        ['spec.nodeSets[0].volumeClaimTemplates[0].spec.storageClassName: "gp2"'],
        15,
    ),
    "a claim without a class (Prometheus)": (
        """
        apiVersion: monitoring.coreos.com/v1
        kind: Prometheus
        metadata: {name: metrics}
        spec: {replicas: 2, storage: {volumeClaimTemplate: {spec: {resources: {requests: {storage: 40Gi}}}}}}
        """,
        ["spec.storage.volumeClaimTemplate.spec.storageClassName: (missing)"],
        0,
    ),
    "a size beside a class (Zalando)": (
        """
        apiVersion: acid.zalan.do/v1
        kind: postgresql
        metadata: {name: orders}
        spec: {numberOfInstances: 2, volume: {size: 10Gi, storageClass: gp2}}
        """,
        ['spec.volume.storageClass: "gp2"'],
        10,
    ),
    "a class beside a storage (RabbitMQ)": (
        """
        apiVersion: rabbitmq.com/v1beta1
        kind: RabbitmqCluster
        metadata: {name: queue}
        spec: {replicas: 3, persistence: {storageClassName: gp2, storage: 10Gi}}
        """,
        ['spec.persistence.storageClassName: "gp2"'],
        30,
    ),
    "no class of Kubernetes": (
        """
        apiVersion: storage.gcp.upbound.io/v1beta1
        kind: Bucket
        metadata: {name: archive}
        spec: {forProvider: {location: EU, storageClass: NEARLINE}, class: internal}
        """,
        [],
        0,
    ),
    "patterns that a policy engine matches claims with (Kyverno)": (
        """
        apiVersion: kyverno.io/v1
        kind: ClusterPolicy
        metadata: {name: small-claims}
        spec:
          rules:
          - match: {resources: {kinds: [PersistentVolumeClaim]}}
            validate: {pattern: {spec: {accessModes: "?*", storageClassName: "?*", resources: {requests: {storage: "<=10Gi"}}}}}
        """,
        [],
        0,
    ),
    "values of a chart that Flux or Argo CD renders": (
        """
        apiVersion: helm.toolkit.fluxcd.io/v2
        kind: HelmRelease
        metadata: {name: db, namespace: flux-system}
        spec:
          targetNamespace: shop
          values:
            primary: {persistence: {storageClass: gp2, size: 8Gi}}
            backup: {volumeClaimTemplate: {spec: {resources: {requests: {storage: 1Gi}}}}}
        """,
        ['spec.values.primary.persistence.storageClass: "gp2"'],
        8,
    ),
    "a resource of another kind with the words": (
        """
        apiVersion: apiextensions.k8s.io/v1
        kind: CustomResourceDefinition
        metadata: {name: things.example.com}
        spec: {storageClassName: gp2, size: 1Gi}
        """,
        [],
        0,
    ),
}


@pytest.mark.parametrize(("text", "refused", "gp2"), OTHERS.values(), ids=OTHERS)
def test_claims_in_custom_resources_of_any_kind(text: str, refused: list[str], gp2: int) -> None:
    resource = declared(text)
    assert classes(resource) == refused
    assert asked(resource, storage_class="gp2") == gp2


def test_values_of_helm_releases() -> None:
    values = """
        global: {storageClass: gp2, security: {allowInsecureImages: true}}
        controller: {replicaCount: 3, persistence: {enabled: true, size: 8Gi, storageClass: streaming-ebs}}
        broker: {persistence: {enabled: false, size: 8Gi, storageClass: gp3}}
        metrics: {persistence: {size: 1Gi, accessModes: [ReadWriteMany]}}
        archive: {persistence: {size: 1Gi, storageClass: ""}}
        static: {persistence: {size: 1Gi, storageClass: "-"}}
        volumeClaimTemplate: {spec: {resources: {requests: {storage: 1Gi}}}}
        ingress: {class: nginx}
    """
    chart = release(values)
    assert chart.title == "Release shop/shop"
    assert classes(chart) == ['values.global.storageClass: "gp2"'], "what isn't named may be the chart's default"
    assert (asked(chart), asked(chart, storage_class="gp3")) == (24, 0)
    assert [message.split(": ")[:3] for message in rules.single_writer_access(chart)] == [
        ["Release shop/shop", "values.metrics.persistence.accessModes", '"ReadWriteMany"']
    ]
    assert not [*claims_of(DeclaredResource(RELEASE, "it", {"chart": "shop"})), *claims_of(release("{}"))]
    namespace = DeclaredResource("kubernetes:core/v1:Namespace", "it", {"metadata": {"name": "shop"}}, stack="prod")
    assert [message.split(": ")[0] for message in rules.production_is_protected([chart, namespace], ["prod", "aws", ""])] == [
        "Namespace shop"
    ]


@pytest.mark.parametrize(
    ("resource", "field"),
    [
        (release("storageClass: {create: true, name: local-path, defaultClass: true}"), "values.storageClass.defaultClass: true"),
        (release("persistence: {defaultClass: true}"), "values.persistence.defaultClass: true"),
        (release("defaultStorageClass: {enabled: true}"), "values.defaultStorageClass.enabled: true"),
        (
            release('storageClasses: [{name: fast, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}]'),
            'values.storageClasses[0].annotations[storageclass.kubernetes.io/is-default-class]: "true"',
        ),
        (release("ingressClass: {enabled: true, defaultClass: true, isDefaultClass: true}"), None),
        (release("storageClass: {defaultClass: false}"), None),
        (release("defaultStorageClass: {enabled: false}"), None),
        (
            declared(
                """
                apiVersion: storage.k8s.io/v1
                kind: StorageClass
                metadata: {name: gp2, annotations: {storageclass.beta.kubernetes.io/is-default-class: "true"}}
                """,
                patch=True,
            ),
            'metadata.annotations[storageclass.beta.kubernetes.io/is-default-class]: "true"',
        ),
    ],
)
def test_default_classes_wherever_they_are_made(resource: DeclaredResource, field: str | None) -> None:
    messages = list(rules.never_the_default_class(resource))
    assert [message.removeprefix(f"{resource.title}: ").split(": a tier is used by name")[0] for message in messages] == [field] * bool(
        field
    )


CLASS_RULES = [
    rules.reclaim_policy_retain,
    rules.wait_for_first_consumer,
    rules.never_the_default_class,
    rules.known_provisioner,
    rules.encrypted_on_cloud,
    rules.project_labels,
]


def test_a_patch_breaks_a_rule_by_what_it_sets_alone() -> None:
    plain = declared("{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: gp2}, allowVolumeExpansion: true}", patch=True)
    assert not [message for rule in CLASS_RULES for message in rule(plain)]
    deletes = declared("{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: gp2}, reclaimPolicy: Delete}", patch=True)
    [message] = [message for rule in CLASS_RULES for message in rule(deletes)]
    assert message == 'StorageClassPatch gp2: reclaimPolicy: "Delete": data outlives its claim. Works: Retain'

    volume = declared(
        """
        apiVersion: v1
        kind: PersistentVolume
        metadata: {name: disk, annotations: {volume.beta.kubernetes.io/storage-class: gp2}}
        spec: {persistentVolumeReclaimPolicy: Delete, hostPath: {path: /srv}}
        """,
        patch=True,
    )
    assert [message.split(": ")[1] for message in rules.reclaim_policy_retain(volume)] == ["spec.persistentVolumeReclaimPolicy"]
    assert [message.split(": ")[1] for message in rules.no_host_folders(volume)] == ["spec.hostPath"]
    assert classes(volume) == ['metadata.annotations[volume.beta.kubernetes.io/storage-class]: "gp2"']

    sized = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {resources: {requests: {storage: 9Gi}}}}"
    assert not classes(declared(sized, patch=True)), "it keeps the class that it has"
    assert classes(declared(sized)) == ["spec.storageClassName: (missing)"]
    pool = declared(NODE_POOL, patch=True)
    pool.properties["spec"]["storage"] = {"type": "persistent-claim", "size": "9Gi"}
    assert not classes(pool)
    assert not list(rules.production_is_protected([declared(sized, patch=True)], ["aws"]))


def test_the_class_that_a_claim_names_by_the_older_annotation() -> None:
    """It is looked at, and comes before the field."""
    text = """
        apiVersion: v1
        kind: PersistentVolumeClaim
        metadata: {name: data, namespace: shop, annotations: {volume.beta.kubernetes.io/storage-class: database-ebs}}
        spec: {resources: {requests: {storage: 9Gi}}}
    """
    claim = declared(text)
    assert not classes(claim) and asked(claim, storage_class="database-ebs") == 9
    claim.properties["spec"]["storageClassName"] = "gp2"
    assert not classes(claim) and asked(claim, storage_class="gp2") == 0
    claim.properties["metadata"]["annotations"] = {"volume.beta.kubernetes.io/storage-class": "gp3"}
    assert classes(claim) == ['metadata.annotations[volume.beta.kubernetes.io/storage-class]: "gp3"']
    template = {"metadata": {"name": "data", **claim.properties["metadata"]}, "spec": {}}
    queue = {"metadata": {"name": "queue"}, "spec": {"replicas": 2.0, "volumeClaimTemplates": [template]}}
    [message] = rules.claims_on_allowed_tiers(DeclaredResource("kubernetes:apps/v1:StatefulSet", "it", queue), ALLOWED)
    assert message.startswith(
        'StatefulSet queue, claim template data: metadata.annotations[volume.beta.kubernetes.io/storage-class]: "gp3": a class'
    )
    for unknown in (UNKNOWN, {"volume.beta.kubernetes.io/storage-class": UNKNOWN}):
        claim.properties["metadata"]["annotations"] = unknown
        claim.properties["spec"].pop("storageClassName", None)
        assert not classes(claim)


def test_claims_that_a_stateful_set_finds_are_counted_once() -> None:
    def claim(name: str, size: str = "10Gi", patch: bool = False) -> DeclaredResource:
        spec = f"{{storageClassName: streaming-ebs, resources: {{requests: {{storage: {size}}}}}}}"
        text = f"{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: {name}, namespace: shop}}, spec: {spec}}}"
        resource: DeclaredResource = declared(text, patch)
        return resource

    kafka = declared("""
        apiVersion: apps/v1
        kind: StatefulSet
        metadata: {name: kafka, namespace: shop}
        spec:
          replicas: 3
          ordinals: {start: 1}
          volumeClaimTemplates:
          - metadata: {name: data}
            spec: {storageClassName: streaming-ebs, resources: {requests: {storage: 10Gi}}}
    """)
    assert asked(kafka) == 30
    assert asked(kafka, claim("data-kafka-1"), claim("data-kafka-2")) == 30
    assert asked(kafka, claim("data-kafka-0"), claim("data-kafka-4"), claim("data-kafka-x"), claim("logs-kafka-1")) == 70
    assert asked(claim("a"), claim("a", patch=True), claim("b", patch=True)) == 20
    assert asked(claim("a", size="'10 Gi'"), claim("b", size="[]")) == 0, "Kubernetes refuses them"


@pytest.mark.parametrize("kind", ["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet", "Job"])
@pytest.mark.parametrize("old", [False, True])
def test_pods_of_every_kind_and_version(kind: str, old: bool) -> None:
    api = ("batch/v1alpha1" if old else "batch/v1") if kind == "Job" else ("extensions/v1beta1" if old else "apps/v1")
    resource = declared(f"""
        apiVersion: {api}
        kind: {kind}
        metadata: {{name: it, namespace: shop}}
        spec:
          template:
            spec:
              volumes:
              - name: scratch
                ephemeral: {{volumeClaimTemplate: {{spec: {{storageClassName: gp2, accessModes: [ReadWriteMany]}}}}}}
              - name: host
                hostPath: {{path: /srv}}
    """)
    [message] = rules.claims_on_allowed_tiers(resource, ALLOWED)
    assert message.startswith(f'{kind} shop/it, ephemeral volume scratch: spec.storageClassName: "gp2"')
    assert len(list(rules.single_writer_access(resource))) == 1
    assert len(list(rules.no_host_folders(resource))) == (kind != "DaemonSet")


def test_objects_of_lists() -> None:
    listed = declared("""
        apiVersion: v1
        kind: List
        items:
        - {apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: gp2}, reclaimPolicy: Delete}
        - {apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: shop}, spec: {storageClassName: gp2}}
    """)
    storage_class, claim = with_items(listed)
    assert [message.split(": ")[0] for message in rules.reclaim_policy_retain(storage_class)] == ["StorageClass gp2"]
    assert classes(claim) == ['spec.storageClassName: "gp2"'] and claim.title == "PersistentVolumeClaim shop/data"
    assert [message.split(": ")[0] for message in rules.production_is_protected(with_items(listed), ["aws"])] == [claim.title]
    typed = DeclaredResource("kubernetes:storage.k8s.io/v1:StorageClassList", "it", {"items": [{"metadata": {"name": "gp3"}}, UNKNOWN, 1]})
    assert next(each.title for each in with_items(typed)) == "StorageClass gp3"
    bucket = declared("{apiVersion: example.com/v1, kind: AllowList, metadata: {name: a}, spec: {}}")
    assert list(with_items(bucket)) == [bucket]


def test_the_namespace_of_what_flux_renders_is_not_the_releases_own() -> None:
    flux = declared(OTHERS["values of a chart that Flux or Argo CD renders"][0])
    own = DeclaredResource("kubernetes:core/v1:Namespace", "it", {"metadata": {"name": "flux-system"}}, stack="prod")
    assert not list(rules.production_is_protected([own, flux], ["prod"]))


def test_what_no_rule_sees_is_said_once() -> None:
    flux = declared("{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {name: db, namespace: shop}, spec: {}}")
    resources = [release("{}"), flux, declared(NODE_POOL)]
    [message] = rules.storage_out_of_sight(resources)
    assert message.startswith('Stack : templates: "Release shop/shop, HelmRelease shop/db": what these make of templates and of files')
    [message] = rules.storage_out_of_sight([flux] * 9)
    assert " and 4 more" in message
    assert not list(rules.storage_out_of_sight([declared(NODE_POOL), declared(POSTGRES)]))


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        yield (*path, key)
        yield from paths_in(value[key], (*path, key))


def broken(resource: DeclaredResource) -> set[str]:
    list(rules.claims_within_allocation([resource], {"gp2": "1Gi"}))  # what is unknown counts for nothing
    return {
        *rules.claims_on_allowed_tiers(resource, ALLOWED),
        *rules.single_writer_access(resource),
        *rules.never_the_default_class(resource),
    }


@pytest.mark.parametrize("text", [NODE_POOL, KAFKA, POSTGRES, *(each[0] for each in OTHERS.values())])
def test_what_is_not_known_yet_violates_nothing(text: str) -> None:
    """Each value of a manifest, one after another, known only after an update."""
    everything = broken(declared(text))
    for *path, last in paths_in(declared(text).properties["spec"]):
        resource = declared(text)
        holder: Any = resource.properties["spec"]
        for key in path:
            holder = holder[key]
        holder[last] = UNKNOWN
        assert broken(resource) <= everything, f"{path}, {last}"
