"""The pods of an acceptance, as the API's JSON.

An init container of the client's image puts Python and the client where the engine's container
finds them (docs/decisions/0019-accept.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.acceptance.plan import AcceptancePlan
from components.canary.manifests import CONTAINER, MOUNT, TOOLS, container, pod_of, user_of

SCRIPTS = Path(__file__).with_name("scripts")
FILES = ("interpreter.py", "postgresql.py", "requirements.txt")
PACKAGES = {"postgresql": "psycopg"}  # the client's, by engine
# Of the engine's container. PostgreSQL has 64 MB of shared buffers and a process for each client.
ENGINE_RESOURCES = {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
TOOLS_RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
TOOLS_SIZE = "512Mi"
SOCKETS = "/run/accept"
PYTHON = ("/tools/loader", "--library-path", "/tools/lib", "/tools/bin/python3", "-IB")


def scripts_name(plan: AcceptancePlan, run: str) -> str:
    """The name of a run's ConfigMap."""
    return f"canary-{plan.proof.tier}-{run[:8]}-accept"


def scripts(plan: AcceptancePlan) -> dict[str, str]:
    """The files of the ConfigMap.

    initdb asks for the name of its user, which an image need not have: passwd is mounted.
    """
    user = user_of(plan.proof)
    passwd = {} if user is None else {"passwd": f"root:x:0:0:root:/:/bin/false\naccept:x:{user}:{user}:accept:{SOCKETS}:/bin/false\n"}
    return {name: (SCRIPTS / name).read_text(encoding="utf-8") for name in FILES} | passwd


def pod(plan: AcceptancePlan, run: str, step: str) -> dict[str, Any]:
    """A pod that mounts the run's claim and runs a step of the engine's script.

    It passes Pod Security level `restricted`.
    """
    tools = {"name": "tools", "mountPath": "/tools"}
    sockets = {"name": "sockets", "mountPath": SOCKETS}
    files = {"name": "scripts", "mountPath": "/scripts", "readOnly": True}
    passwd = {"name": "scripts", "mountPath": "/etc/passwd", "subPath": "passwd", "readOnly": True}
    package = PACKAGES[plan.engine]
    first = container(
        TOOLS,
        plan.client_image,
        [
            *("python3", "-IB", "/scripts/interpreter.py"),
            *("--folder=/tools", f"--package={package}", "--requirements=/scripts/requirements.txt"),
        ],
        TOOLS_RESOURCES,
        [tools, sockets, files],
    )
    first["env"] = [{"name": "TMPDIR", "value": SOCKETS}]
    engine = container(
        CONTAINER,
        plan.proof.image,
        [
            *(*PYTHON, f"/scripts/{plan.engine}.py", step, f"--root={MOUNT}", f"--sockets={SOCKETS}"),
            *("--packages=/tools/packages", f"--run={run}", f"--clients={plan.clients}"),
        ],
        ENGINE_RESOURCES,
        [
            {"name": "volume", "mountPath": MOUNT},
            {**tools, "readOnly": True},
            sockets,
            files,
            *([passwd] if user_of(plan.proof) is not None else []),
        ],
    )
    volumes = [
        {"name": "scripts", "configMap": {"name": scripts_name(plan, run)}},
        {"name": "tools", "emptyDir": {"sizeLimit": TOOLS_SIZE}},
        {"name": "sockets", "emptyDir": {}},
    ]
    return pod_of(plan.proof, run, step, {"initContainers": [first], "containers": [engine]}, volumes)
