"""What a CSI driver needs in a cluster: its CSIDriver, and the sidecars' rights.

The rights are those of the sidecars' own manifests (deploy/kubernetes/rbac.yaml of
external-provisioner 6.4, -attacher 4.13, -resizer 2.3, -snapshotter 8.7), less leader election:
there is one process of each; the attacher's and the resizer's users are the processes' own.
"""

from __future__ import annotations

CRDS = ("volumesnapshotclasses", "volumesnapshotcontents", "volumesnapshots")

# Whose volumes a pod's fsGroup changes: as in EBS' chart, and Kubernetes' default, which GCE's
# manifest leaves.
_FS_GROUP_POLICY = {"ebs.csi.aws.com": "File", "pd.csi.storage.gke.io": "ReadWriteOnceWithFSType"}

_RBAC = "rbac.authorization.k8s.io"
_READ = ["get", "list", "watch"]
_EVENTS = ("", "events", ["list", "watch", "create", "update", "patch"])
_SNAPSHOTS = "snapshot.storage.k8s.io"
_STORAGE = "storage.k8s.io"

_Rules = list[tuple[str, str, list[str]]]
_RIGHTS: dict[str, _Rules] = {
    "csi-provisioner": [
        ("", "persistentvolumes", [*_READ, "create", "patch", "delete"]),
        ("", "persistentvolumeclaims", [*_READ, "update"]),
        (_STORAGE, "storageclasses", _READ),
        _EVENTS,
        (_SNAPSHOTS, "volumesnapshots", [*_READ, "update"]),
        (_SNAPSHOTS, "volumesnapshotcontents", ["get", "list"]),
        (_STORAGE, "csinodes", _READ),
        ("", "nodes", _READ),
        (_STORAGE, "volumeattachments", _READ),
        (_STORAGE, "volumeattributesclasses", ["get"]),
    ],
    "csi-attacher": [
        ("", "persistentvolumes", [*_READ, "patch"]),
        (_STORAGE, "csinodes", _READ),
        (_STORAGE, "volumeattachments", [*_READ, "patch"]),
        (_STORAGE, "volumeattachments/status", ["patch"]),
    ],
    "csi-resizer": [
        ("", "persistentvolumes", [*_READ, "patch"]),
        ("", "persistentvolumeclaims", _READ),
        ("", "pods", _READ),
        ("", "persistentvolumeclaims/status", ["patch"]),
        _EVENTS,
        (_STORAGE, "volumeattributesclasses", _READ),
    ],
    "csi-snapshotter": [
        _EVENTS,
        (_SNAPSHOTS, "volumesnapshotclasses", _READ),
        (_SNAPSHOTS, "volumesnapshotcontents", [*_READ, "update", "patch"]),
        (_SNAPSHOTS, "volumesnapshotcontents/status", ["update", "patch"]),
    ],
    "snapshot-controller": [
        ("", "persistentvolumes", _READ),
        ("", "persistentvolumeclaims", [*_READ, "update"]),
        _EVENTS,
        (_SNAPSHOTS, "volumesnapshotclasses", _READ),
        (_SNAPSHOTS, "volumesnapshotcontents", ["create", *_READ, "update", "delete", "patch"]),
        (_SNAPSHOTS, "volumesnapshotcontents/status", ["patch"]),
        (_SNAPSHOTS, "volumesnapshots", ["create", *_READ, "update", "patch", "delete"]),
        (_SNAPSHOTS, "volumesnapshots/status", ["update", "patch"]),
    ],
}


def objects(driver: str) -> list[dict[str, object]]:
    """The objects for one driver. The sidecars' rights are the same for every driver."""
    made: list[dict[str, object]] = [
        {
            "apiVersion": f"{_STORAGE}/v1",
            "kind": "CSIDriver",
            "metadata": {"name": driver},
            "spec": {"attachRequired": True, "podInfoOnMount": False, "fsGroupPolicy": _FS_GROUP_POLICY[driver]},
        }
    ]
    for user, rights in _RIGHTS.items():
        rules = [{"apiGroups": [group], "resources": [resource], "verbs": verbs} for group, resource, verbs in rights]
        made += [
            {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": f"{user}-runner"}, "rules": rules},
            {
                "apiVersion": f"{_RBAC}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": f"{user}-runner"},
                "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": f"{user}-runner"},
                "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": user}],
            },
        ]
    return made
