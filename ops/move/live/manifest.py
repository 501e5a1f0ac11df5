"""The target's pod of a live move: the source's own image on the claim, and a tunnel beside
PostgreSQL. Pod Security level `restricted` admits it.
"""

from __future__ import annotations

from pathlib import Path

from components.canary.manifests import CONTAINER, container, metadata_of, pod_spec
from components.kube.api import Json
from ops.move import pods
from ops.move.claims import ClaimSide
from ops.move.live.source import Source

TUNNEL = "tunnel"  # the container
RUN = "/run/move"
_FILES = Path(__file__).with_name("pod")
_RESOURCES = {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
STOPPING = 90  # seconds for PostgreSQL to end cleanly with its pod
# PostgreSQL's settings in the pod, as arguments. Beyond these the source's own count, which ALTER
# SYSTEM has kept beside the data: none of them may reach out of the pod, need more than it has, or
# end its recovery.
FIXED = {
    "config_file": "/move/standby.conf",
    "hba_file": "/move/standby_hba.conf",
    "ident_file": "/move/standby_ident.conf",
    "listen_addresses": "",
    "unix_socket_directories": RUN,
    "unix_socket_group": "",
    "port": "5432",
    "shared_buffers": "128MB",
    "huge_pages": "off",
    "ssl": "off",
    "archive_mode": "off",
    "restore_command": "",
    "archive_cleanup_command": "",
    "recovery_end_command": "",
    "recovery_target": "",
    "recovery_target_lsn": "",
    "recovery_target_name": "",
    "recovery_target_time": "",
    "recovery_target_xid": "",
    "recovery_target_timeline": "latest",
    "recovery_min_apply_delay": "0",
    "hot_standby": "on",
    "max_standby_streaming_delay": "-1",
    "wal_retrieve_retry_interval": "1s",
    "wal_receiver_status_interval": "1s",
    "synchronous_standby_names": "",
    "max_logical_replication_workers": "0",  # of a subscription, in the moment after the promotion
    "autovacuum": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
}


def files() -> dict[str, str]:
    """What is mounted into the pod."""
    return {each.name: each.read_text(encoding="utf-8") for each in sorted(_FILES.iterdir()) if each.is_file() and each.name != "source.sh"}


def manifest(side: ClaimSide, source: Source, move: str, run: str) -> Json:
    """The pod."""
    settings = side.settings
    asked = settings.canary.pod.model_dump(by_alias=True, exclude_defaults=True)
    name = f"move-{move}-live"
    user, group = source.owner
    volume: Json = {key: source.mount[key] for key in ("mountPath", "subPath") if key in source.mount}
    mounts = [
        {"name": "volume", **volume},
        {"name": "program", "mountPath": "/move", "readOnly": True},
        {"name": "run", "mountPath": RUN},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    python = settings.canary.image
    engine = container(CONTAINER, source.image, ["sh", "/move/keep.sh"], _RESOURCES, mounts)
    engine["env"] = [{"name": "PGDATA", "value": source.data}]
    tunnel = container(TUNNEL, python, ["python3", "-IB", "/move/stay.py"], asked.get("resources", pods.RESOURCES), mounts)
    first = container("prepare", python, ["python3", "-IB", "/move/volume.py", "prepare"], asked.get("resources", pods.RESOURCES), mounts)
    own = {"runAsNonRoot": True, "runAsUser": user, "runAsGroup": group, "fsGroup": group, "fsGroupChangePolicy": "OnRootMismatch"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata_of(name, settings.namespace.name, pods.move_labels(settings.stack, move, run), asked),
        "spec": {
            **pod_spec(asked, own),
            "terminationGracePeriodSeconds": STOPPING,
            "initContainers": [first],
            "containers": [engine, tunnel],
            "volumes": [
                {"name": "volume", "persistentVolumeClaim": {"claimName": side.name}},
                {"name": "program", "configMap": {"name": name}},
                {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
                {"name": "tmp", "emptyDir": {}},
            ],
        },
    }
