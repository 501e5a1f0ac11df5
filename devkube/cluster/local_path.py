"""Rancher's local-path-provisioner for an embedded cluster, as a host process with its own client
certificate and rights.

Settings and rights follow the project's own manifest (deploy/local-path-storage.yaml, v0.0.30),
less what a process outside of the cluster has no use for, and less the rights that an audit of its
requests never showed (tests/integration/test_rights.py).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from devkube import images
from devkube.cluster.control_plane import ControlPlane
from devkube.cluster.daemons import Daemon
from devkube.cluster.layout import Layout

NAMESPACE = "local-path-storage"
PROVISIONER = "rancher.io/local-path"
_USER = "local-path-provisioner"
_HELPER_ACCOUNT = "local-path-helper"
_SCRIPTS = {
    "setup": '#!/bin/sh\nset -eu\nmkdir -m 0777 -p "$VOL_DIR"\n',
    "teardown": '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n',
}


class LocalPathProvisioner:
    """One instance: answers for classes whose provisioner is `name`.

    Each volume is a directory in the cluster's volumes folder.
    """

    def __init__(self, control_plane: ControlPlane, program: Path, name: str = PROVISIONER) -> None:
        layout = control_plane.layout
        slug = "" if name == PROVISIONER else "-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        self.control_plane = control_plane
        self.name = name
        self.config = layout.home / "local-path/config.json"
        self.helper_pod = layout.home / "local-path/helper-pod.yaml"
        self.daemon = Daemon(
            f"{_USER}{slug}",
            [
                program,
                "start",
                f"--config={self.config}",
                f"--kubeconfig={layout.kubeconfig(_USER)}",
                f"--provisioner-name={name}",
                f"--namespace={NAMESPACE}",
                f"--helper-image={images.reference('busybox')}",
                f"--helper-pod-file={self.helper_pod}",
                f"--service-account-name={_HELPER_ACCOUNT}",
                "--configmap-name=local-path-scripts",
            ],
            layout.logs,
            layout.run / "pids",
        )

    def prepare(self) -> None:
        """Write its settings, and make its user, its rights and its helper pods' namespace in the
        cluster."""
        self.control_plane.make_user(_USER)
        self.config.parent.mkdir(mode=0o700, exist_ok=True)
        self.config.write_text(json.dumps({"nodePathMap": node_paths(self.control_plane.layout)}))
        self.helper_pod.write_text(yaml.safe_dump(_helper_pod()))
        self.control_plane.apply(_objects())


def node_paths(layout: Layout) -> list[dict[str, object]]:
    """Where the provisioner makes the volumes' directories on which node."""
    first, *others = layout.each_node
    places = [("DEFAULT_PATH_FOR_NON_LISTED_NODES", first), *((each.node_name, each) for each in others)]
    return [{"node": name, "paths": [str(each.node_volumes)]} for name, each in places]


def _helper_pod() -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {
            "priorityClassName": "system-node-critical",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "dnsPolicy": "Default",
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "helper-pod", "image": images.reference("busybox"), "imagePullPolicy": "IfNotPresent"}],
        },
    }


def _objects() -> list[dict[str, object]]:
    rbac = "rbac.authorization.k8s.io"
    subject = {"apiGroup": rbac, "kind": "User", "name": _USER}
    watch = ["list", "watch"]
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            # Helper pods mount the volumes' folder from the node, which only the privileged level
            # allows.
            "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "privileged"}},
        },
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": _HELPER_ACCOUNT, "namespace": NAMESPACE},
            "automountServiceAccountToken": False,
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "local-path-scripts", "namespace": NAMESPACE}, "data": _SCRIPTS},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "Role",
            "metadata": {"name": _USER, "namespace": NAMESPACE},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "create", "delete"]}],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": _USER},
            "rules": [
                {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
                {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": watch},
                {"apiGroups": [""], "resources": ["persistentvolumes"], "verbs": [*watch, "create", "delete"]},
                {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
                {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": watch},
            ],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": _USER, "namespace": NAMESPACE},
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": _USER},
            "subjects": [subject],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": _USER},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": _USER},
            "subjects": [subject],
        },
    ]
