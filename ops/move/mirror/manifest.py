"""The manifest of a mirror's pod, and the files in it. Pod Security `restricted` admits it."""

from __future__ import annotations

from pathlib import Path

from components.acceptance.manifests import PYTHON, SCRIPTS, TOOLS_RESOURCES, TOOLS_SIZE
from components.canary.manifests import CONTAINER, TOOLS, USER, container, metadata_of, pod_spec
from components.kube.api import Json
from ops.move import pods
from ops.move.claims import ClaimSide
from ops.move.mirror.program.worker import LOG, RUN

COMPARE = "compare"  # the container beside MirrorMaker's, which is CONTAINER
PROGRAM = "/mirror"  # where the program is in the pod
STOPPING = 90  # seconds for MirrorMaker to end cleanly with its pod
_FOLDER = Path(__file__).with_name("program")
_STAY = Path(__file__).parents[1] / "live/pod/stay.py"
_JAVA = ("java", "-XX:MaxRAMPercentage=60", "-XX:+ExitOnOutOfMemoryError", f"-Dlog4j2.configurationFile={PROGRAM}/log4j2.properties")
_CONNECT = (*_JAVA, "-cp", "/opt/kafka/libs/*", "org.apache.kafka.connect.cli.ConnectDistributed", f"{RUN}/worker.properties")
_MIRRORING = {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
_COMPARING = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}


def name_of(move: str) -> str:
    """The pod's name, and its ConfigMap's."""
    return f"move-{move}-mirror"


def files() -> dict[str, str]:
    """What is mounted into the pod, by its name there."""
    found = [each for each in sorted(_FOLDER.iterdir()) if each.is_file()]
    others = [SCRIPTS / "interpreter.py", SCRIPTS / "requirements.txt", _STAY]
    return {each.name: each.read_text(encoding="utf-8") for each in [*found, *others]}


def manifest(side: ClaimSide, move: str, run: str, image: str) -> Json:
    """The pod."""
    settings = side.settings
    asked = settings.canary.pod.model_dump(by_alias=True, exclude_defaults=True)
    name = name_of(move)
    user = asked.get("runAsUser", USER)
    own = {"runAsNonRoot": True, **({"runAsUser": user, "runAsGroup": user, "fsGroup": user} if user is not None else {})}
    tools: Json = {"name": "tools", "mountPath": "/tools"}
    mounts: list[Json] = [
        {"name": "program", "mountPath": PROGRAM, "readOnly": True},
        {"name": "run", "mountPath": str(RUN)},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    beside = [{**tools, "readOnly": True}, *mounts]
    copying = ["python3", "-IB", f"{PROGRAM}/interpreter.py", "--folder=/tools", "--package=confluent_kafka"]
    first = container(
        TOOLS, settings.canary.engines.client, [*copying, f"--requirements={PROGRAM}/requirements.txt"], TOOLS_RESOURCES, [tools, *mounts]
    )
    keeping = [*PYTHON, f"{PROGRAM}/keeper.py", str(RUN), f"{LOG}.java", *_CONNECT]
    mirroring = container(CONTAINER, image, keeping, _MIRRORING, beside)
    comparing = container(COMPARE, settings.canary.engines.client, ["python3", "-IB", f"{PROGRAM}/stay.py"], _COMPARING, beside)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata_of(name, settings.namespace.name, pods.move_labels(settings.stack, move, run), asked),
        "spec": {
            **pod_spec(asked, own),
            "restartPolicy": "Always",  # it goes on when the command has ended
            "dnsPolicy": "ClusterFirst",  # brokers may be advertised by the names of Services
            "terminationGracePeriodSeconds": STOPPING,
            "initContainers": [first],
            "containers": [mirroring, comparing],
            "volumes": [
                {"name": "program", "configMap": {"name": name}},
                {"name": "tools", "emptyDir": {"sizeLimit": TOOLS_SIZE}},
                {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
                {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
            ],
        },
    }
