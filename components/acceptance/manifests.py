"""The pods of an acceptance, as the API's JSON.

An init container of the client's image puts Python and the client where the engine's container
finds them (docs/decisions/0019-accept.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.acceptance.plan import AcceptancePlan
from components.canary.manifests import CONTAINER, MOUNT, TOOLS, canary_labels, container, pod_of, user_of

SCRIPTS = Path(__file__).with_name("scripts")
# Where each file is in the pods: start.py makes a program of a folder.
FILES = {
    "interpreter.py": "interpreter.py",
    "requirements.txt": "requirements.txt",
    "start.py": "engine/__main__.py",
    "common.py": "engine/scripts/common.py",
    "kafka.py": "engine/scripts/kafka.py",
    "kafka_broker.py": "engine/scripts/kafka_broker.py",
    "postgresql.py": "engine/scripts/postgresql.py",
}
PASSWD = "passwd"
PACKAGES = {"postgresql": "psycopg", "kafka": "confluent_kafka"}  # the client's, by engine
# Of the engine's container. PostgreSQL has 64 MB of shared buffers and a process for each client,
# Kafka's Java 256 MB of heap, as much again beside it, and for a moment a second one.
ENGINE_RESOURCES = {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
TOOLS_RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
TOOLS_SIZE = "512Mi"
WORK = "/run/accept"  # for sockets, and files of the moment
PEERS = "/peers"
HOSTS = "storage-tiers/hosts"  # the annotation with the addresses of an engine's pods
PYTHON = ("/tools/loader", "--library-path", "/tools/lib", "/tools/bin/python3", "-IB")


def scripts_name(plan: AcceptancePlan, run: str) -> str:
    """The name of a run's ConfigMap."""
    return f"canary-{plan.proof.tier}-{run[:8]}-accept"


def scripts(plan: AcceptancePlan) -> dict[str, str]:
    """The files of the ConfigMap.

    initdb asks for the name of its user, which an image need not have: passwd is mounted.
    """
    user = user_of(plan.proof)
    passwd = {} if user is None else {PASSWD: f"root:x:0:0:root:/:/bin/false\naccept:x:{user}:{user}:accept:{WORK}:/bin/false\n"}
    return {name: (SCRIPTS / name).read_text(encoding="utf-8") for name in FILES} | passwd


def pod(plan: AcceptancePlan, run: str, step: str, arguments: Sequence[str]) -> dict[str, Any]:
    """A pod that mounts the run's claim and runs a step of the engine's script.

    It passes Pod Security level `restricted`.
    """
    tools = {"name": "tools", "mountPath": "/tools"}
    work = {"name": "work", "mountPath": WORK}
    files = {"name": "scripts", "mountPath": "/scripts", "readOnly": True}
    first = container(
        TOOLS,
        plan.client_image,
        [
            *("python3", "-IB", "/scripts/interpreter.py"),
            *("--folder=/tools", f"--package={PACKAGES[plan.engine]}", "--requirements=/scripts/requirements.txt"),
        ],
        TOOLS_RESOURCES,
        [tools, work, files],
    )
    first["env"] = [{"name": "TMPDIR", "value": WORK}]
    named = user_of(plan.proof) is not None
    passwd = {"name": "scripts", "mountPath": "/etc/passwd", "subPath": PASSWD, "readOnly": True}
    engine = container(
        CONTAINER,
        plan.proof.image,
        [*PYTHON, "/scripts/engine", plan.engine, step, f"--root={MOUNT}", f"--work={WORK}", "--packages=/tools/packages", *arguments],
        ENGINE_RESOURCES,
        [
            {"name": "volume", "mountPath": MOUNT},
            {**tools, "readOnly": True},
            work,
            files,
            {"name": "peers", "mountPath": PEERS, "readOnly": True},
            *([passwd] if named else []),
        ],
    )
    engine["env"] = [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    items = [{"key": key, "path": path} for key, path in {**FILES, **({PASSWD: PASSWD} if named else {})}.items()]
    hosts = {"path": "hosts", "fieldRef": {"fieldPath": f"metadata.annotations['{HOSTS}']"}}
    volumes = [
        {"name": "scripts", "configMap": {"name": scripts_name(plan, run), "items": items}},
        {"name": "tools", "emptyDir": {"sizeLimit": TOOLS_SIZE}},
        {"name": "work", "emptyDir": {}},
        {"name": "peers", "downwardAPI": {"items": [hosts]}},
    ]
    made = pod_of(plan.proof, run, step, {"initContainers": [first], "containers": [engine]}, volumes)
    if plan.engine == "kafka":  # a broker on each node, where there are as many that take it
        apart = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        own = {"matchLabels": canary_labels(plan.proof.instance, plan.proof.tier)}
        made["spec"]["topologySpreadConstraints"] = [{**apart, "labelSelector": own}]
    return made
