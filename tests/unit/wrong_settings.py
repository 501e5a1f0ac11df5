"""Wrong settings: a table of stack files with one mistake each, and the exact message for it."""

from __future__ import annotations

from typing import Any

from components.settings import DEFAULT_IMAGE, MISSING_SERVICES, VOLUME_REFERENCE_RULE

SIZE_RULE = "a size is a positive number and one of the units Mi, Gi and Ti (powers of 1024), without a space, sign or exponent"
NAME_RULE = "a name is lower-case letters, digits and hyphens, begins with a letter, ends with a letter or digit, at most {} long"
SERVICE_RULE = NAME_RULE.format(52) + ", because its claims are `data-<service>-<ordinal>` and its pods carry labels with the name"
TIER_RULE = NAME_RULE.format(52) + ", because the class is named `<tier>-<provisioner>`"
REPLICAS_RULE = "a whole number from 1 to 1000, one claim each"
CONTEXT_RULE = "the name of a context in the kubeconfig"
IDENTIFIER_RULE = "a name of your own for this cluster; another one means another cluster, on which everything is made anew"
TIERS_RULE = "a mapping from each tier's name to its parameters, with at least one tier"
SERVICES_RULE = "a mapping from each service's name to its `tier` and `size`; `{}` for none"
CLUSTER_RULE = "a mapping with `context` and `identifier`"
CREATE_RULE = "true: the stack makes the namespace; false: it is there already"
PATH_RULE = "an absolute folder of the node without `.` and `..`, one of those in the provisioner's own nodePathMap"
PATTERN_RULE = (
    "a relative path that begins with `{{ .PVC.Namespace }}/{{ .PVC.Name }}/` and goes on "
    "(local-path-provisioner 0.0.33 and newer refuse any other), without `..`"
)
PATTERN_WORKS = "{{ .PVC.Namespace }}/{{ .PVC.Name }}/{{ .PVName }}"
KIND_RULE = "what the tier is for: database or streaming"
CANARY_RULE = "a mapping with `enabled`, `image`, `namespace`, `run`, `limits`, `pod`, `spread`, `engines` and `engine`"
CANARY_KEYS = "unknown key; known here: enabled, engine, engines, image, limits, namespace, pod, run, spread"
OWN_LABELS_RULE = (
    "one of the project's own labels, by which the canary's pods are found: app.kubernetes.io/part-of, app.kubernetes.io/instance, "
    "app.kubernetes.io/name, app.kubernetes.io/component, app.kubernetes.io/managed-by and storage-tiers/…. Works: example.com/team"
)
SUBDOMAIN_RULE = "lower-case letters, digits, `-` and `.`, with a letter or digit at both ends of each part, at most 253 long"
USER_RULE = "the number of the pods' user and group, from 1 to 2147483647, or null: the cluster chooses it"
RESERVED_RULE = "`default` and `kube-…` are Kubernetes' own; the claims get a namespace of their own"
RUN_RULE = "a whole number from 1 to 1000000000; another one runs the canaries again"
TOP = "unknown key; known here: adopt, canary, cluster, namespace, protect, provisioner, services, tiers"
LOCAL_PATH_KEYS = "unknown key; known here: kind, nodePath, pathPattern; "
WHY_IGNORED = "local-path ignores parameters that it doesn't know, without a word"
IGNORED = LOCAL_PATH_KEYS + WHY_IGNORED


def service(**changes: Any) -> dict[str, Any]:
    """Settings with a good service `kafka`, changed; None takes a key away."""
    made = {"tier": "streaming", "size": "1Gi", **changes}
    return {"services": {"kafka": {key: value for key, value in made.items() if value is not None}}}


def named(name: str) -> dict[str, Any]:
    return {"services": {name: {"tier": "streaming", "size": "1Gi"}}}


def tier(**parameters: Any) -> dict[str, Any]:
    return {"tiers": {"database": parameters, "streaming": {}}}


def pod(**settings: Any) -> dict[str, Any]:
    return {"canary": {"pod": settings}}


CASES: dict[str, tuple[dict[str, Any], str]] = {
    # the top
    "provisioner: unknown": (
        {"provisioner": "local_path"},
        'provisioner: "local_path": the storage driver of this stack; known: ebs, gce-pd, local-path. Works: local-path',
    ),
    "provisioner: missing": (
        {"provisioner": None},
        "provisioner: (missing): the storage driver of this stack; known: ebs, gce-pd, local-path. Works: local-path",
    ),
    "provisioner: the schema's default": (
        {"provisioner": ""},
        "provisioner: (missing): the storage driver of this stack; known: ebs, gce-pd, local-path. Works: local-path",
    ),
    "top: a typing mistake": ({"protct": True}, f'protct: "true": {TOP}. Works: protect'),
    "top: nothing like it": ({"zone": "a"}, f'zone: "a": {TOP}. Works: without `zone`'),
    "adopt: a text": (
        {"adopt": "pvc-1"},
        'adopt: "pvc-1": a mapping from a service\'s name to its old volumes by ordinal; `{}` for none. Works: {kafka: {1: pvc-…}}',
    ),
    "adopt: no such service": (
        {"adopt": {"kafak": {"1": "pvc-1"}}},
        'adopt.kafak: {"1": "pvc-1"}: no such service; this stack has: postgres, kafka. Works: kafka',
    ),
    "adopt: no ordinal": (
        {"adopt": {"kafka": "pvc-1"}},
        'adopt.kafka: "pvc-1": a mapping from an ordinal to an old volume. Works: {0: pvc-1}',
    ),
    "adopt: an ordinal beyond the replicas": (
        {"adopt": {"kafka": {"3": "pvc-1"}}},
        'adopt.kafka.3: "pvc-1": the ordinal is a whole number from 0 to 2, one for each replica. Works: 0',
    ),
    "adopt: an ordinal in words": (
        {"adopt": {"kafka": {"one": "pvc-1"}}},
        'adopt.kafka.one: "pvc-1": the ordinal is a whole number from 0 to 2, one for each replica. Works: 0',
    ),
    "adopt: a number": ({"adopt": {"kafka": {"1": 7}}}, f"adopt.kafka.1: 7: {VOLUME_REFERENCE_RULE}. Works: pvc-…"),
    "adopt: a relative path": (
        {"adopt": {"kafka": {"1": "volumes/a"}}},
        f'adopt.kafka.1: "volumes/a": {VOLUME_REFERENCE_RULE}. Works: pvc-…',
    ),
    "adopt: a path that goes up": (
        {"adopt": {"kafka": {"1": "/volumes/../a"}}},
        f'adopt.kafka.1: "/volumes/../a": {VOLUME_REFERENCE_RULE}. Works: pvc-…',
    ),
    "adopt: a path with a slash at its end": (
        {"adopt": {"kafka": {"1": "/volumes/a/"}}},
        f'adopt.kafka.1: "/volumes/a/": {VOLUME_REFERENCE_RULE}. Works: /volumes/a',
    ),
    "adopt: one volume twice": (
        {"adopt": {"kafka": {"1": "pvc-1", "2": "pvc-1"}}},
        'adopt.kafka.2: "pvc-1": the same volume as adopt.kafka.1; a volume holds the data of one replica. Works: another volume',
    ),
    "canary: a text": ({"canary": "yes"}, f'canary: "yes": {CANARY_RULE}. Works: {{enabled: true}}'),
    "canary: a typing mistake": ({"canary": {"imge": "x"}}, f'canary.imge: "x": {CANARY_KEYS}. Works: image'),
    "canary.enabled: a text": (
        {"canary": {"enabled": "off"}},
        'canary.enabled: "off": true: every tier is proven before claims are made on it; without quotes. Works: false',
    ),
    "canary.image: empty": (
        {"canary": {"image": ""}},
        f'canary.image: "": an image with Python 3.9 or newer, which the cluster\'s nodes can pull or have. Works: {DEFAULT_IMAGE}',
    ),
    "canary.image: two": (
        {"canary": {"image": "a b"}},
        f'canary.image: "a b": an image with Python 3.9 or newer, which the cluster\'s nodes can pull or have. Works: {DEFAULT_IMAGE}',
    ),
    "canary.namespace: Kubernetes' own": (
        {"canary": {"namespace": "kube-system"}},
        f'canary.namespace: "kube-system": {RESERVED_RULE}. Works: data',
    ),
    "canary.namespace: upper case": (
        {"canary": {"namespace": "Proofs"}},
        f'canary.namespace: "Proofs": {NAME_RULE.format(63)}. Works: proofs',
    ),
    "canary.namespace: the claims'": (
        {"canary": {"namespace": "data"}},
        "canary.namespace: data: not the namespace of the claims: the canary's is its own. Works: data-canary",
    ),
    "canary.namespace: too long by itself": (
        {"namespace": {"name": "a" * 60}},
        f"canary.namespace: (missing): a name for the canary's namespace of its own, because {'a' * 60}-canary is longer than 63. "
        "Works: canary",
    ),
    "canary.run: zero": ({"canary": {"run": 0}}, f"canary.run: 0: {RUN_RULE}. Works: 1"),
    "canary.run: too large": ({"canary": {"run": 10**10}}, f"canary.run: 10000000000: {RUN_RULE}. Works: 1000000000"),
    "canary.run: a text": ({"canary": {"run": "2"}}, f'canary.run: "2": {RUN_RULE}; in quotes it is a text. Works: 2'),
    "canary.run: a fraction": ({"canary": {"run": 1.5}}, f"canary.run: 1.5: {RUN_RULE}. Works: 2"),
    "canary.limits: a number": (
        {"canary": {"limits": 3}},
        "canary.limits: 3: a mapping from a tier's name to its limits. Works: {database: {syncP99Ms: 10}}",
    ),
    "canary.engine without a canary": (
        {"canary": {"enabled": False, "engine": True}},
        "canary.engine: true: false where canary.enabled is false: an engine runs in the canary's namespace. Works: false",
    ),
    "canary.engine: a text": (
        {"canary": {"engine": "kafka"}},
        'canary.engine: "kafka": true: a real engine accepts each tier after its proof, before claims are made on it; '
        "only where `enabled` is true. Works: false",
    ),
    "canary.limits: no such tier": (
        {"canary": {"limits": {"databse": {}}}},
        "canary.limits.databse: {}: no such tier; this stack has: database, streaming. Works: database",
    ),
    "canary.limits: no such limit": (
        {"canary": {"limits": {"database": {"syncP99": 10}}}},
        "canary.limits.database.syncP99: 10: unknown key; known here: ackP99Ms, commitP99Ms, recordsMBps, recoverySeconds, "
        "syncP50Ms, syncP95Ms, syncP99Ms, transactionsPerSecond, writeIOPS, writeMBps. Works: syncP99Ms",
    ),
    "canary.limits: nothing": (
        {"canary": {"limits": {"database": {"syncP99Ms": 0}}}},
        "canary.limits.database.syncP99Ms: 0: the longest sync but 1 in 100, in milliseconds above 0. Works: 10",
    ),
    "canary.limits: a text": (
        {"canary": {"limits": {"streaming": {"writeMBps": "80"}}}},
        'canary.limits.streaming.writeMBps: "80": the least MB (10^6 bytes) written and synced in a second, above 0. Works: 80',
    ),
    "canary.limits: a tier without a mapping": (
        {"canary": {"limits": {"database": 10}}},
        "canary.limits.database: 10: a mapping with `syncP50Ms`, `syncP95Ms`, `syncP99Ms`, `writeMBps`, `writeIOPS`, "
        "`transactionsPerSecond`, `commitP99Ms`, `recordsMBps`, `ackP99Ms`, `recoverySeconds`. Works: {}",
    ),
    "canary.spread: a typing mistake": (
        {"canary": {"spread": "zone"}},
        'canary.spread: "zone": none, zones or nodes: a canary where the scheduler puts it, in each zone, or on each node where claims '
        "may land. Works: zones",
    ),
    "canary.pod: a text": (
        {"canary": {"pod": "small"}},
        'canary.pod: "small": a mapping with what the cluster asks of the canary\'s pods. Works: {tolerations: [{operator: Exists}]}',
    ),
    "canary.pod: a typing mistake": (
        pod(priorityClass="storage"),
        'canary.pod.priorityClass: "storage": unknown key; known here: annotations, imagePullSecrets, labels, nodeSelector, '
        "priorityClassName, resources, runAsUser, serviceAccountName, tolerations. Works: priorityClassName",
    ),
    "canary.pod.labels: the project's own": (
        pod(labels={"app.kubernetes.io/instance": "x"}),
        'canary.pod.labels["app.kubernetes.io/instance"]: "app.kubernetes.io/instance": ' + OWN_LABELS_RULE,
    ),
    "canary.pod.labels: the project's own prefix": (
        pod(labels={"storage-tiers/run": "x"}),
        'canary.pod.labels["storage-tiers/run"]: "storage-tiers/run": ' + OWN_LABELS_RULE,
    ),
    "canary.pod.labels: true without quotes": (
        pod(labels={"sidecar.istio.io/inject": False}),
        'canary.pod.labels["sidecar.istio.io/inject"]: false: labels besides the project\'s own, a text each; YAML reads it as true or '
        'false, so it needs quotes. Works: "false"',
    ),
    "canary.pod.labels: nothing": (
        pod(labels={"team": None}),
        'canary.pod.labels.team: null: labels besides the project\'s own, a text each; nothing after the colon. Works: ""',
    ),
    "canary.pod.labels: a value with a blank": (
        pod(labels={"team": "data base"}),
        'canary.pod.labels.team: "data base": the value of a label is empty, or at most 63 letters, digits, `-`, `_` and `.`, with a '
        "letter or digit at both ends. Works: data-base",
    ),
    "canary.pod.annotations: the project's own prefix": (
        pod(annotations={"storage-tiers/note": "x"}),
        'canary.pod.annotations["storage-tiers/note"]: "storage-tiers/note": the project keeps annotations that begin with '
        "`storage-tiers/` for itself. Works: example.com/note",
    ),
    "canary.pod.annotations: a key that is none": (
        pod(annotations={"a/b/c": "x"}),
        'canary.pod.annotations["a/b/c"]: "a/b/c": a key is at most 63 letters, digits, `-`, `_` and `.`, a letter or digit at both '
        "ends; before it may be a DNS name and a `/`. Works: example.com/key",
    ),
    "canary.pod.annotations: what Pod Security refuses": (
        pod(annotations={"container.apparmor.security.beta.kubernetes.io/probe": "unconfined"}),
        'canary.pod.annotations: {"container.apparmor.security.beta.kubernetes.io/probe": "unconfined"}: Pod Security `restricted` takes '
        "`runtime/default` or `localhost/…` for container.apparmor.security.beta.kubernetes.io/probe. Works: "
        '{"container.apparmor.security.beta.kubernetes.io/probe": "runtime/default"}',
    ),
    "canary.pod.nodeSelector: another system": (
        pod(nodeSelector={"kubernetes.io/os": "windows"}),
        'canary.pod.nodeSelector: {"kubernetes.io/os": "windows"}: the canary\'s pods run on Linux nodes alone, so `kubernetes.io/os` is '
        '`linux` or left out. Works: {"kubernetes.io/os": "linux"}',
    ),
    "canary.pod.tolerations: no list": (
        pod(tolerations={"operator": "Exists"}),
        'canary.pod.tolerations: {"operator": "Exists"}: a list of Kubernetes\' tolerations, for tainted nodes. Works: '
        "[{key: dedicated, operator: Equal, value: storage, effect: NoSchedule}]",
    ),
    "canary.pod.tolerations: a text in the list": (
        pod(tolerations=["dedicated"]),
        'canary.pod.tolerations[0]: "dedicated": a list of Kubernetes\' tolerations, for tainted nodes. Works: '
        "{key: dedicated, operator: Equal, value: storage, effect: NoSchedule}",
    ),
    "canary.pod.tolerations: an effect in another case": (
        pod(tolerations=[{"operator": "Exists"}, {"key": "a", "effect": "noschedule"}]),
        'canary.pod.tolerations[1].effect: "noschedule": the taint\'s effect: NoSchedule, PreferNoSchedule, NoExecute; without it all of '
        "them. Works: NoSchedule",
    ),
    "canary.pod.tolerations: every taint of a value": (
        pod(tolerations=[{"value": "storage"}]),
        'canary.pod.tolerations[0]: {"value": "storage"}: without a `key` the operator is Exists and there is no `value`. Works: '
        '{"operator": "Exists"}',
    ),
    "canary.pod.tolerations: whatever the value, and a value": (
        pod(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
        'canary.pod.tolerations[0]: {"key": "a", "operator": "Exists", "value": "b"}: with the operator Exists there is no `value`. '
        'Works: {"key": "a", "operator": "Exists"}',
    ),
    "canary.pod.tolerations: seconds for another effect": (
        pod(tolerations=[{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 5}]),
        'canary.pod.tolerations[0]: {"key": "a", "effect": "NoSchedule", "tolerationSeconds": 5}: `tolerationSeconds` is for the effect '
        'NoExecute alone. Works: {"key": "a", "effect": "NoSchedule"}',
    ),
    "canary.pod.imagePullSecrets: a name that is none": (
        pod(imagePullSecrets=["registry", "My_Registry"]),
        f'canary.pod.imagePullSecrets[1].name: "My_Registry": {SUBDOMAIN_RULE}. Works: my-registry',
    ),
    "canary.pod.priorityClassName: empty": (
        pod(priorityClassName=""),
        f'canary.pod.priorityClassName: "": {SUBDOMAIN_RULE}. Works: storage',
    ),
    "canary.pod.serviceAccountName: upper case": (
        pod(serviceAccountName="Canary"),
        f'canary.pod.serviceAccountName: "Canary": {SUBDOMAIN_RULE}. Works: canary',
    ),
    "canary.pod.resources: a unit that is none": (
        pod(resources={"requests": {"memory": "128MB"}}),
        'canary.pod.resources.requests.memory: "128MB": a quantity of Kubernetes, not below nothing, such as `500m` or `128Mi`. '
        "Works: 128Mi",
    ),
    "canary.pod.resources: no such resource": (
        pod(resources={"limits": {"cpus": 1}}),
        'canary.pod.resources.limits.cpus: "cpus": resources are cpu, memory, ephemeral-storage, hugepages-<size>, or have a domain '
        "before them. Works: cpu",
    ),
    "canary.pod.resources: more than the limit": (
        pod(resources={"requests": {"cpu": 2, "memory": "64Mi"}, "limits": {"cpu": "500m"}}),
        'canary.pod.resources: {"requests": {"cpu": 2, "memory": "64Mi"}, "limits": {"cpu": "500m"}}: a request is at most its '
        'limit: cpu 2 is above 500m. Works: {"requests": {"cpu": "500m", "memory": "64Mi"}, "limits": {"cpu": "500m"}}',
    ),
    "canary.pod.runAsUser: root": (pod(runAsUser=0), f"canary.pod.runAsUser: 0: {USER_RULE}. Works: 65532"),
    "canary.pod.runAsUser: a text": (
        pod(runAsUser="1000"),
        f'canary.pod.runAsUser: "1000": {USER_RULE}; in quotes it is a text. Works: 1000',
    ),
    "protect: yes": ({"protect": "yes"}, 'protect: "yes": true or false, without quotes. Works: true'),
    "protect: a number": ({"protect": 0}, 'protect: "0": true or false, without quotes. Works: false'),
    "protect: nonsense": ({"protect": "maybe"}, 'protect: "maybe": true or false, without quotes. Works: false'),
    # cluster
    "cluster: missing": (
        {"cluster": None},
        f"cluster: (missing): {CLUSTER_RULE}. Works: {{context: storage-tiers-dev, identifier: storage-tiers-dev}}",
    ),
    "cluster: a text": (
        {"cluster": "dev"},
        f'cluster: "dev": {CLUSTER_RULE}. Works: {{context: storage-tiers-dev, identifier: storage-tiers-dev}}',
    ),
    "cluster: no context": (
        {"cluster": {"identifier": "a"}},
        f"cluster.context: (missing): {CONTEXT_RULE}. Works: storage-tiers-dev",
    ),
    "cluster: no identifier": (
        {"cluster": {"context": "a"}},
        f"cluster.identifier: (missing): {IDENTIFIER_RULE}. Works: storage-tiers-dev",
    ),
    "cluster: an empty context": (
        {"cluster": {"context": "", "identifier": "a"}},
        f'cluster.context: "": {CONTEXT_RULE}. Works: storage-tiers-dev',
    ),
    "cluster: a context with a space at its end": (
        {"cluster": {"context": "a ", "identifier": "a"}},
        f'cluster.context: "a ": {CONTEXT_RULE}. Works: storage-tiers-dev',
    ),
    "cluster: a number as context": (
        {"cluster": {"context": 2024, "identifier": "a"}},
        f'cluster.context: 2024: {CONTEXT_RULE}; YAML reads it as a number, so it needs quotes. Works: "2024"',
    ),
    "cluster: an unknown key": (
        {"cluster": {"context": "a", "identifier": "a", "kubeconfig": "~/.kube/config"}},
        'cluster.kubeconfig: "~/.kube/config": unknown key; known here: context, identifier. Works: without `kubeconfig`',
    ),
    # namespace
    "namespace: a text": (
        {"namespace": "data"},
        'namespace: "data": a mapping with `name` and `create`. Works: {name: data, create: true}',
    ),
    "namespace: default": (
        {"namespace": {"name": "default"}},
        'namespace.name: "default": `default` and `kube-…` are Kubernetes\' own; the claims get a namespace of their own. Works: data',
    ),
    "namespace: kube-system": (
        {"namespace": {"name": "kube-system"}},
        'namespace.name: "kube-system": `default` and `kube-…` are Kubernetes\' own; the claims get a namespace of their own. Works: data',
    ),
    "namespace: not a name": (
        {"namespace": {"name": "My_Data"}},
        f'namespace.name: "My_Data": {NAME_RULE.format(63)}. Works: my-data',
    ),
    "namespace: YAML's truth": (
        {"namespace": {"name": True}},
        'namespace.name: true: the namespace of the claims; YAML reads it as true or false, so it needs quotes. Works: "true"',
    ),
    "namespace: create as a text": (
        {"namespace": {"create": "no"}},
        f'namespace.create: "no": {CREATE_RULE}; without quotes. Works: false',
    ),
    "namespace: create as a number": (
        {"namespace": {"create": 1}},
        f"namespace.create: 1: {CREATE_RULE}; without quotes. Works: true",
    ),
    # tiers
    "tiers: missing": ({"tiers": None}, f"tiers: (missing): {TIERS_RULE}. Works: {{database: {{}}, streaming: {{}}}}"),
    "tiers: none": ({"tiers": {}}, f"tiers: (missing): {TIERS_RULE}. Works: {{database: {{}}, streaming: {{}}}}"),
    "tiers: a list": (
        {"tiers": ["database", "streaming"]},
        f'tiers: ["database", "streaming"]: {TIERS_RULE}. Works: {{database: {{}}, streaming: {{}}}}',
    ),
    "tiers: nothing after the colon": (
        {"tiers": {"database": None, "streaming": {}}},
        "tiers.database: null: a mapping with `kind`, `nodePath`, `pathPattern`. Works: {}",
    ),
    "tiers: a name that Kubernetes refuses": (
        {"tiers": {"database": {}, "streaming": {}, "Fast_NVMe": {"kind": "database"}}},
        f'tiers.Fast_NVMe: "Fast_NVMe": {TIER_RULE}. Works: fast-nvme',
    ),
    "tiers: a name too long with its suffix": (
        {"tiers": {"database": {}, "streaming": {}, "t" * 53: {"kind": "database"}}},
        f'tiers.{"t" * 53}: "{"t" * 53}": {TIER_RULE}. Works: {"t" * 52}',
    ),
    "tiers: a name that says no kind": (
        {"tiers": {"database": {}, "streaming": {}, "kafka": {}}},
        f"tiers.kafka.kind: (missing): {KIND_RULE}; only the tiers `database` and `streaming` have it by their name. Works: database",
    ),
    "tiers: a name that says no kind, and nothing else": (
        {"tiers": {"database": {}, "streaming": {}, "kafka": None}},
        "tiers.kafka: null: a mapping with `kind`, `nodePath`, `pathPattern`. Works: {kind: database}",
    ),
    "kind: another": (tier(kind="cache"), f'tiers.database.kind: "cache": {KIND_RULE}. Works: database'),
    "kind: upper case": (tier(kind="Streaming"), f'tiers.database.kind: "Streaming": {KIND_RULE}. Works: streaming'),
    "kind: a number": (tier(kind=1), f"tiers.database.kind: 1: {KIND_RULE}. Works: database"),
    "kind: nothing after the colon": (
        {"tiers": {"database": {}, "streaming": {}, "kafka": {"kind": None}}},
        "tiers.kafka.kind: null: nothing after the colon. Works: database",
    ),
    "kind: a typing mistake": (tier(knd="database"), f'tiers.database.knd: "database": {IGNORED}. Works: kind'),
    "kind: a typing mistake where it is needed": (
        {"tiers": {"database": {}, "streaming": {}, "kafka": {"kind": "strem"}}},
        f'tiers.kafka.kind: "strem": {KIND_RULE}. Works: streaming',
    ),
    "tiers: an EBS parameter": (
        tier(iopsPerGB=10),
        f"tiers.database.iopsPerGB: 10: {LOCAL_PATH_KEYS}a parameter of ebs; {WHY_IGNORED}. Works: without `iopsPerGB`",
    ),
    "tiers: an EBS and GCE parameter": (
        tier(type="pd-ssd"),
        f'tiers.database.type: "pd-ssd": {LOCAL_PATH_KEYS}a parameter of ebs and gce-pd; {WHY_IGNORED}. Works: without `type`',
    ),
    "tiers: a typing mistake": (tier(pathPatern="x"), f'tiers.database.pathPatern: "x": {IGNORED}. Works: pathPattern'),
    "tiers: another case": (
        tier(pathpattern="x"),
        f'tiers.database.pathpattern: "x": {LOCAL_PATH_KEYS}here it is spelled `pathPattern`. Works: pathPattern',
    ),
    "tiers: nothing after a parameter's colon": (
        tier(nodePath=None),
        "tiers.database.nodePath: null: nothing after the colon. Works: a value, or without `nodePath`",
    ),
    "tiers: the Python name": (tier(node_path="/x"), f'tiers.database.node_path: "/x": {IGNORED}. Works: nodePath'),
    "tiers: a parameter of newer releases": (
        tier(permPattern="0700"),
        f'tiers.database.permPattern: "0700": {LOCAL_PATH_KEYS}local-path-provisioner knows it from 0.0.37 on, and older ones '
        "ignore it without a word. Works: pathPattern",
    ),
    "tiers: a relative nodePath": (
        tier(nodePath="volumes"),
        f'tiers.database.nodePath: "volumes": {PATH_RULE}. Works: /var/local-path-provisioner',
    ),
    "tiers: the root as nodePath": (tier(nodePath="/"), f'tiers.database.nodePath: "/": {PATH_RULE}. Works: /var/local-path-provisioner'),
    "tiers: a nodePath that climbs": (
        tier(nodePath="/var/../etc"),
        f'tiers.database.nodePath: "/var/../etc": {PATH_RULE}. Works: /var/local-path-provisioner',
    ),
    "tiers: a pathPattern without the beginning": (
        tier(pathPattern="{{ .PVC.Name }}"),
        f'tiers.database.pathPattern: "{{{{ .PVC.Name }}}}": {PATTERN_RULE}. Works: {PATTERN_WORKS}',
    ),
    "tiers: a pathPattern that climbs": (
        tier(pathPattern="{{ .PVC.Namespace }}/{{ .PVC.Name }}/../x"),
        f'tiers.database.pathPattern: "{{{{ .PVC.Namespace }}}}/{{{{ .PVC.Name }}}}/../x": {PATTERN_RULE}. Works: {PATTERN_WORKS}',
    ),
    "tiers: a pathPattern with an open brace": (
        tier(pathPattern="{{ .PVC.Namespace }}/{{ .PVC.Name }}/{{ .PVName"),
        f'tiers.database.pathPattern: "{{{{ .PVC.Namespace }}}}/{{{{ .PVC.Name }}}}/{{{{ .PVName": {PATTERN_RULE}. Works: {PATTERN_WORKS}',
    ),
    # services
    "services: missing": ({"services": None}, f"services: (missing): {SERVICES_RULE}. Works: {{postgres: {{tier: database, size: 5Gi}}}}"),
    "services: the schema's default": (
        {"services": MISSING_SERVICES},
        f"services: (missing): {SERVICES_RULE}. Works: {{postgres: {{tier: database, size: 5Gi}}}}",
    ),
    "services: a list": ({"services": []}, f"services: []: {SERVICES_RULE}. Works: {{postgres: {{tier: database, size: 5Gi}}}}"),
    "services: nothing after the colon": (
        {"services": {"kafka": None}},
        "services.kafka: null: a mapping with `tier`, `size`, `replicas`, `accessMode`, `restores`, `engine`. "
        "Works: {tier: database, size: 5Gi}",
    ),
    "services: an upper-case name": (named("Kafka"), f'services.Kafka: "Kafka": {SERVICE_RULE}. Works: kafka'),
    "services: a name with a dot": (named("kafka.a"), f'services.kafka.a: "kafka.a": {SERVICE_RULE}. Works: kafka-a'),
    "services: a name that begins with a digit": (named("3kafka"), f'services.3kafka: "3kafka": {SERVICE_RULE}. Works: kafka'),
    "services: a name that ends with a hyphen": (named("kafka-"), f'services.kafka-: "kafka-": {SERVICE_RULE}. Works: kafka'),
    "services: an empty name": (named(""), f'services.: "": {SERVICE_RULE}. Works: my-name'),
    "services: a name too long for a StatefulSet": (
        named("k" * 53),
        f'services.{"k" * 53}: "{"k" * 53}": {SERVICE_RULE}. Works: {"k" * 52}',
    ),
    "services: an unknown key": (
        service(replica=3),
        "services.kafka.replica: 3: unknown key; known here: accessMode, engine, replicas, restores, size, tier. Works: replicas",
    ),
    "tier: missing": (service(tier=None), "services.kafka.tier: (missing): the name of one of the `tiers`. Works: database"),
    "tier: none of that name": (
        service(tier="streeming"),
        'services.kafka.tier: "streeming": no such tier; this stack has: database, streaming. Works: streaming',
    ),
    "tier: nothing like it": (
        service(tier="x"),
        'services.kafka.tier: "x": no such tier; this stack has: database, streaming. Works: database',
    ),
    "size: missing": (service(size=None), "services.kafka.size: (missing): the size of each volume, in Mi, Gi or Ti. Works: 5Gi"),
    "size: GB": (service(size="5GB"), f'services.kafka.size: "5GB": {SIZE_RULE}. Works: 5Gi'),
    "size: a number": (service(size=5), f"services.kafka.size: 5: {SIZE_RULE}. Works: 5Gi"),
    "size: zero": (
        service(size="0Gi"),
        'services.kafka.size: "0Gi": a volume of nothing can\'t be provisioned; the smallest size is above zero. Works: 1Gi',
    ),
    "size: negative": (service(size="-1Gi"), f'services.kafka.size: "-1Gi": {SIZE_RULE}. Works: 1Gi'),
    "size: not a quantity": (service(size="big"), f'services.kafka.size: "big": {SIZE_RULE}. Works: 5Gi'),
    "size: true": (service(size=True), f"services.kafka.size: true: {SIZE_RULE}. Works: 5Gi"),
    "size: more than an int64": (
        service(size="9000000Ti"),
        'services.kafka.size: "9000000Ti": Kubernetes holds bytes in 64 bits, so a size is below 8388608Ti. Works: 16Ti',
    ),
    "replicas: zero": (service(replicas=0), f"services.kafka.replicas: 0: {REPLICAS_RULE}. Works: 1"),
    "replicas: negative": (service(replicas=-3), f"services.kafka.replicas: -3: {REPLICAS_RULE}. Works: 1"),
    "replicas: a part": (service(replicas=1.5), f"services.kafka.replicas: 1.5: {REPLICAS_RULE}. Works: 3"),
    "replicas: a word": (service(replicas="three"), f'services.kafka.replicas: "three": {REPLICAS_RULE}. Works: 3'),
    "replicas: in quotes": (service(replicas="3"), f'services.kafka.replicas: "3": {REPLICAS_RULE}; in quotes it is a text. Works: 3'),
    "replicas: true": (service(replicas=True), f"services.kafka.replicas: true: {REPLICAS_RULE}. Works: 3"),
    "replicas: a slip of the finger": (service(replicas=30000), f"services.kafka.replicas: 30000: {REPLICAS_RULE}. Works: 1000"),
    "size: G is a power of ten": (service(size="5G"), f'services.kafka.size: "5G": {SIZE_RULE}. Works: 5Gi'),
    "size: lower case": (service(size="5gb"), f'services.kafka.size: "5gb": {SIZE_RULE}. Works: 5Gi'),
    "size: with a space": (service(size="5 Gi"), f'services.kafka.size: "5 Gi": {SIZE_RULE}. Works: 5Gi'),
    "size: GiB": (service(size="5GiB"), f'services.kafka.size: "5GiB": {SIZE_RULE}. Works: 5Gi'),
    "size: M": (service(size="500M"), f'services.kafka.size: "500M": {SIZE_RULE}. Works: 500Mi'),
    "size: bytes": (service(size="5368709120"), f'services.kafka.size: "5368709120": {SIZE_RULE}. Works: 5Gi'),
    "size: an exponent": (service(size="5e9"), f'services.kafka.size: "5e9": {SIZE_RULE}. Works: 4769Mi'),
    "size: a decimal comma": (service(size="1,5Gi"), f'services.kafka.size: "1,5Gi": {SIZE_RULE}. Works: 1.5Gi'),
    "size: Ki": (service(size="2Ki"), f'services.kafka.size: "2Ki": {SIZE_RULE}. Works: 1Mi'),
    "size: Pi": (service(size="1Pi"), f'services.kafka.size: "1Pi": {SIZE_RULE}. Works: 1024Ti'),
    "size: zero with places": (
        service(size="0.0Mi"),
        'services.kafka.size: "0.0Mi": a volume of nothing can\'t be provisioned; the smallest size is above zero. Works: 1Mi',
    ),
    "services: a text for a service": (
        {"services": {"kafka": "streaming"}},
        'services.kafka: "streaming": a mapping with `tier`, `size`, `replicas`, `accessMode`, `restores`, `engine`. '
        "Works: {tier: database, size: 5Gi}",
    ),
    "tier: a number": (
        service(tier=1),
        'services.kafka.tier: 1: the name of one of the `tiers`; YAML reads it as a number, so it needs quotes. Works: "1"',
    ),
    "tier: upper case": (
        service(tier="Streaming"),
        'services.kafka.tier: "Streaming": no such tier; this stack has: database, streaming. Works: streaming',
    ),
    "accessMode: true": (
        service(accessMode=True),
        "services.kafka.accessMode: true: ReadWriteOnce or ReadWriteOncePod: a volume is used by one broker or database. "
        "Works: ReadWriteOnce",
    ),
    "replicas: a list": (service(replicas=[3]), f"services.kafka.replicas: [3]: {REPLICAS_RULE}. Works: 3"),
    "replicas: nothing after the colon": (
        {"services": {"kafka": {"tier": "streaming", "size": "1Gi", "replicas": None}}},
        f"services.kafka.replicas: null: {REPLICAS_RULE}. Works: 3",
    ),
    "provisioner: the driver's name": (
        {"provisioner": "rancher.io/local-path"},
        'provisioner: "rancher.io/local-path": the storage driver of this stack; known: ebs, gce-pd, local-path. Works: local-path',
    ),
    "cluster: a context of two lines": (
        {"cluster": {"context": "a\nb", "identifier": "a"}},
        f'cluster.context: "a\\nb": {CONTEXT_RULE}. Works: storage-tiers-dev',
    ),
    "cluster: an identifier with nothing after the colon": (
        {"cluster": {"context": "a", "identifier": None}},
        f"cluster.identifier: null: {IDENTIFIER_RULE}. Works: storage-tiers-dev",
    ),
    "namespace: a number": (
        {"namespace": {"name": 5}},
        "namespace.name: 5: the namespace of the claims; YAML reads it as a number, so it needs quotes. Works: data",
    ),
    "namespace: too long": ({"namespace": {"name": "n" * 64}}, f'namespace.name: "{"n" * 64}": {NAME_RULE.format(63)}. Works: {"n" * 63}'),
    "namespace: an unknown key": (
        {"namespace": {"nam": "x"}},
        'namespace.nam: "x": unknown key; known here: create, name. Works: name',
    ),
    "tiers: a number as nodePath": (
        tier(nodePath=5),
        f"tiers.database.nodePath: 5: {PATH_RULE}; YAML reads it as a number, so it needs quotes. Works: /var/local-path-provisioner",
    ),
    "accessMode: many": (
        service(accessMode="ReadWriteMany"),
        'services.kafka.accessMode: "ReadWriteMany": ReadWriteOnce or ReadWriteOncePod: a volume is used by one broker or database. '
        "Works: ReadWriteOnce",
    ),
    "accessMode: a typing mistake": (
        service(accessMode="readwriteoncepod"),
        'services.kafka.accessMode: "readwriteoncepod": ReadWriteOnce or ReadWriteOncePod: a volume is used by one broker or database. '
        "Works: ReadWriteOncePod",
    ),
}
