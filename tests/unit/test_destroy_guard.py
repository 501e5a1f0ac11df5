"""What the check before a destroy takes for in use and for somebody else's.

Its launchers, and that it stands alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from components.destroy_guard import check
from components.kube import labels
from components.kube.api import ApiError, KubeApi
from components.kube.discovery import Discovery
from components.kube.kubeconfig import Kubeconfig
from components.kube.ownership import Stamp
from tests.unit.mocked_program import ROOT

OURS = labels.recommended("kafka", "dev", "streaming")


def thing(kind: str, name: str, **rest: Any) -> check.Object:
    uid = rest.pop("uid", f"{kind}-{name}")
    return check.Object(kind, name, uid, rest.pop("labels", {}), rest.pop("annotations", {}), tuple(rest.pop("owners", ())))


@pytest.mark.parametrize(
    "found",
    [
        thing("PersistentVolumeClaim", "data-kafka-0", labels=OURS),
        thing("ResourceQuota", "streaming", labels=OURS),
        thing("ServiceAccount", "default"),
        thing("ConfigMap", "kube-root-ca.crt"),
        thing("Event", "kafka-0.17"),
        thing("Secret", "default-token-x", annotations={"kubernetes.io/service-account.name": "default"}),
    ],
)
def test_what_is_the_stacks_or_kubernetes_own_does_not_count(found: check.Object) -> None:
    assert check.foreign([found], "dev") == []


@pytest.mark.parametrize(
    "found",
    [
        thing("ConfigMap", "notes"),
        thing("PersistentVolumeClaim", "mine"),
        thing("PersistentVolumeClaim", "data-kafka-0", labels=labels.recommended("kafka", "other", "streaming")),
        thing("Pod", "kafka-0", labels=OURS),
        thing("Secret", "other-token", annotations={"kubernetes.io/service-account.name": "other"}),
        thing("ServiceAccount", "kube-root-ca.crt"),
        thing("Pod", "orphan", owners=["somewhere else"]),
    ],
)
def test_everything_else_is_somebody_elses(found: check.Object) -> None:
    assert check.foreign([found], "dev") == [found]


def test_what_belongs_to_another_object_goes_with_it_and_nothing_is_listed_twice() -> None:
    owner = thing("StatefulSet", "kafka")
    objects = [owner, owner, thing("Pod", "kafka-0", owners=[owner.uid]), thing("ControllerRevision", "kafka-1", owners=[owner.uid])]
    assert check.foreign(objects, "dev") == [owner]


def pod(name: str, *claims: str, phase: str = "Running") -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims]
    return {"metadata": {"name": name}, "spec": {"volumes": [{"name": "tmp", "emptyDir": {}}, *volumes]}, "status": {"phase": phase}}


def test_pods_that_use_a_claim_of_the_stack_and_are_not_finished() -> None:
    pods = [
        pod("kafka-0", "data-kafka-0"),
        pod("starting", "data-kafka-1", "else", phase="Pending"),
        pod("other", "else"),
        pod("done", "data-kafka-0", phase="Succeeded"),
        pod("failed", "data-kafka-0", phase="Failed"),
        {"metadata": {"name": "no-volumes"}, "spec": {}, "status": {}},
    ]
    assert check.pods_using(pods, {"data-kafka-0", "data-kafka-1"}) == {"kafka-0": ["data-kafka-0"], "starting": ["data-kafka-1"]}


class Recorded(KubeApi):
    """A cluster that answers from a table, to see how the answers are put together."""

    def __init__(self, answers: dict[str, Any]) -> None:
        super().__init__(Kubeconfig((), {}, {}, {}), "here")
        self.answers = answers

    def get(self, path: str, accept: str = "application/json") -> dict[str, Any]:
        answer = self.answers.get(path.split("?", maxsplit=1)[0], 404)
        if isinstance(answer, int):
            raise ApiError("recorded", answer)
        found: dict[str, Any] = answer
        return found


def resource(name: str, kind: str, *, namespaced: bool = True, verbs: tuple[str, ...] = ("list",)) -> dict[str, Any]:
    return {"name": name, "kind": kind, "namespaced": namespaced, "verbs": list(verbs)}


def group(*versions: str) -> dict[str, Any]:
    """A group's entry in `/apis`; the last one of the versions is preferred."""
    served = [{"groupVersion": version} for version in versions]
    return {"preferredVersion": served[-1], "versions": served}


def answers(**more: Any) -> dict[str, Any]:
    claim = {"metadata": {"name": "data-kafka-0", "uid": "1", "labels": OURS}}
    return {
        "/api/v1/namespaces/data": {},
        "/api/v1/namespaces/data/persistentvolumeclaims": {"items": [claim]},
        "/api/v1/namespaces/data/pods": {"items": []},
        "/api/v1/namespaces/data/configmaps": {"items": None},
        "/apis": {"groups": [group("apps/v1")]},
        "/api/v1": {
            "resources": [
                resource("persistentvolumeclaims", "PersistentVolumeClaim"),
                resource("configmaps", "ConfigMap"),
                resource("nodes", "Node", namespaced=False),
                resource("pods/log", "Pod"),
                resource("bindings", "Binding", verbs=("create",)),
            ]
        },
        "/apis/apps/v1": {"resources": [resource("statefulsets", "StatefulSet")]},
        "/apis/apps/v1/namespaces/data/statefulsets": {"items": []},
        **more,
    }


def test_a_stack_whose_move_is_not_proven_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The move knows its source by the claim: without it, it couldn't go on."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    record = tmp_path / "storage-tiers/moves/a1/move.json"
    record.parent.mkdir(parents=True)
    moved = {"source": {"stack": "dev", "uid": "1", "service": "kafka", "ordinal": 0}, "target": {"stack": "aws"}}
    record.write_text(json.dumps({"state": "begun", **moved}))
    with pytest.raises(check.Refusal) as refused:
        check.check(Recorded(answers()), "data", "dev", namespace_is_ours=True)
    assert str(refused.value) == (
        "What is moved out of stack dev isn't proven yet:\n"
        f"  data-kafka-0: `python -m ops move --from dev --to aws --service kafka --ordinal 0` ({record.parent})\n"
        "Finish a move by its command, which goes on where it was. Or give it up: one with --live by that command with --cancel, any "
        "other by removing its folder.\n"
        "Then run `pulumi destroy` again. Nothing was deleted."
    )
    others = {"state": "begun", "source": {"stack": "dev", "uid": "2"}, "target": {"stack": "aws"}}
    for other in ({"state": "proven", **moved}, others):
        record.write_text(json.dumps(other))
        check.check(Recorded(answers()), "data", "dev", namespace_is_ours=True)
    assert capsys.readouterr().err == ""
    for damaged in ("{", '{"state": "begun", "source": null, "target": {}}'):
        record.write_text(damaged)
        check.check(Recorded(answers()), "data", "dev", namespace_is_ours=True)
        assert f"Warning: {record.parent} can't be read" in capsys.readouterr().err, "what isn't known is no reason: the data is retained"


def test_a_stack_that_nobody_uses_may_go() -> None:
    check.check(Recorded(answers()), "data", "dev", namespace_is_ours=True)


def test_a_namespace_that_is_gone_is_no_obstacle() -> None:
    check.check(Recorded({}), "data", "dev", namespace_is_ours=True)


def test_one_refusal_names_pods_and_foreign_objects() -> None:
    sets = {"items": [{"metadata": {"name": "kafka", "uid": "2"}}]}
    used = answers(
        **{"/api/v1/namespaces/data/pods": {"items": [pod("kafka-0", "data-kafka-0")]}, "/apis/apps/v1/namespaces/data/statefulsets": sets}
    )
    with pytest.raises(check.Refusal) as refused:
        check.check(Recorded(used), "data", "dev", namespace_is_ours=True)
    assert str(refused.value) == (
        "Pods use claims of stack dev in namespace data:\n"
        "  pod/kafka-0 uses data-kafka-0\n"
        "Namespace data is deleted with the stack, and holds objects that are not the stack's:\n"
        "  statefulset/kafka\n"
        "Delete what is listed first, or what made it (`kubectl --context here -n data get all`; a StatefulSet makes its pods again),\n"
        "or let the stack go of the namespace: set `create: false` under storage-tiers:namespace and run `pulumi up`.\n"
        "Then run `pulumi destroy` again. Nothing was deleted."
    )


def test_other_objects_in_a_namespace_that_is_not_the_stacks_are_left_alone() -> None:
    notes = {"items": [{"metadata": {"name": "notes", "uid": "3"}}]}
    others = answers(**{"/api/v1/namespaces/data/configmaps": notes})
    check.check(Recorded(others), "data", "dev", namespace_is_ours=False)
    with pytest.raises(check.Refusal, match="configmap/notes"):
        check.check(Recorded(others), "data", "dev", namespace_is_ours=True)


def test_in_the_canarys_namespace_its_own_pods_claims_and_records_are_no_obstacle() -> None:
    def canary_answers(**maps: Any) -> dict[str, Any]:
        own = {"metadata": {"name": "canary-database-proven", "uid": "4", "labels": OURS}}
        return answers(
            **{
                "/api/v1/namespaces/data-canary": {},
                "/api/v1/namespaces/data-canary/configmaps": {"items": [own, *maps.values()]},
                "/api/v1/namespaces/data-canary/persistentvolumeclaims": {"items": [{**own, "metadata": {**own["metadata"], "uid": "5"}}]},
            }
        )

    check.check(Recorded(canary_answers()), "data", "dev", namespace_is_ours=True, canary_namespace="data-canary")
    check.check(Recorded(answers()), "data", "dev", namespace_is_ours=True, canary_namespace="gone")
    notes = {"metadata": {"name": "notes", "uid": "6"}}
    with pytest.raises(check.Refusal) as refused:
        check.check(Recorded(canary_answers(notes=notes)), "data", "dev", namespace_is_ours=True, canary_namespace="data-canary")
    assert str(refused.value) == (
        "Namespace data-canary is deleted with the stack, and holds objects that are not the stack's:\n"
        "  configmap/notes\n"
        "Delete what is listed first, or what made it (`kubectl --context here -n data-canary get all`; "
        "a StatefulSet makes its pods again),\n"
        "or do without a canary: set `enabled: false` under storage-tiers:canary and run `pulumi up`, "
        "which deletes its namespace with what is in it.\n"
        "Then run `pulumi destroy` again. Nothing was deleted."
    )


def in_namespaces(kind: str, name: str, *namespaces: str, **more: Any) -> list[dict[str, Any]]:
    """An object of this name in each namespace; `{}` in it stands for an ending of its own."""
    endings = iter(["2x4zk", "bcdfg", "vwxz7", "mnpqr", "55555", "ghjkl"])
    return [
        {
            "metadata": {
                "name": name.replace("{}", next(endings)).replace("{namespace}", each),
                "namespace": each,
                "uid": f"{kind}-{name}-{each}",
                "labels": more.get("labels"),
                "managedFields": [{"manager": more.get("manager", "controller"), "operation": "Update"}],
            },
            "data": {"in": each} if more.get("different") else {"in": "all"},
        }
        for each in namespaces
    ]


EVERYWHERE = ("default", "team-a", "team-b", "istio-system", "data", "data-canary")


def cluster_with(kind: str, plural: str, objects: list[dict[str, Any]], namespaces: tuple[str, ...] = EVERYWHERE) -> Recorded:
    """A cluster that has these objects of one kind, and `data` as the stack's namespace."""
    resources = {item["name"]: item for item in answers()["/api/v1"]["resources"]}
    served = {**resources, plural: resource(plural, kind)}
    listed = {
        f"/api/v1/namespaces/{each}/{plural}": {"items": [item for item in objects if item["metadata"]["namespace"] == each]}
        for each in namespaces
    }
    there = [{"metadata": {"name": each}} for each in (*namespaces, "kube-system", "kube-public")]
    return Recorded(
        answers(
            **{
                "/api/v1": {"resources": list(served.values())},
                "/api/v1/namespaces": {"items": there},
                "/api/v1/namespaces/data-canary": {},
                "/api/v1/namespaces/data-canary/configmaps": {"items": []},
                "/api/v1/namespaces/data-canary/persistentvolumeclaims": {"items": []},
                **listed,
                f"/api/v1/{plural}": {"items": objects},
            }
        )
    )


@pytest.mark.parametrize(
    ("kind", "plural", "name", "without"),
    [
        ("ConfigMap", "configmaps", "istio-ca-root-cert", ()),
        ("ConfigMap", "configmaps", "istio-ca-root-cert", ("team-b",)),  # one may be left out of the mesh
        ("ConfigMap", "configmaps", "openshift-service-ca.crt", ()),
        ("ServiceAccount", "serviceaccounts", "builder", ()),
        ("RoleBinding", "rolebindings", "system:image-pullers", ()),
        ("Secret", "secrets", "builder-dockercfg-{}", ()),
        ("Secret", "secrets", "builder-token-{}", ()),
        ("RoleBinding", "rolebindings", "{namespace}-viewers", ()),
        ("Secret", "secrets", "registry-pull-secret", ()),
    ],
)
def test_what_a_controller_puts_into_every_namespace_is_no_obstacle(kind: str, plural: str, name: str, without: tuple[str, ...]) -> None:
    objects = in_namespaces(kind, name, *(each for each in EVERYWHERE if each not in without))
    check.check(cluster_with(kind, plural, objects), "data", "dev", namespace_is_ours=True, canary_namespace="data-canary")


@pytest.mark.parametrize(
    ("kind", "plural", "name", "namespaces", "more"),
    [
        ("ConfigMap", "configmaps", "settings", ("data",), {}),
        ("ConfigMap", "configmaps", "settings", ("data", "team-a"), {}),  # somebody's in two places
        ("ConfigMap", "configmaps", "settings", EVERYWHERE, {"different": True}),  # of one name, and not the same
        ("PersistentVolumeClaim", "persistentvolumeclaims", "cache", EVERYWHERE, {}),  # data, which is not the same
        ("ConfigMap", "configmaps", "{namespace}-settings", EVERYWHERE, {}),  # of other names, and so perhaps not the same
        ("Secret", "secrets", "backup-key", ("data", "team-a", "data-canary"), {}),
        ("Secret", "secrets", "db-password", EVERYWHERE, {"manager": "kubectl-create"}),  # of one name, and each with its own content
        ("Secret", "secrets", "db-password", EVERYWHERE, {"manager": "helm"}),
        ("Deployment", "deployments", "web", EVERYWHERE, {}),
        ("Service", "services", "web", EVERYWHERE, {}),
    ],
)
def test_what_somebody_has_put_there_still_counts(
    kind: str, plural: str, name: str, namespaces: tuple[str, ...], more: dict[str, Any]
) -> None:
    objects = in_namespaces(kind, name, *namespaces, **more)
    with pytest.raises(check.Refusal, match=f"{kind.lower()}/{name.format(namespace='data')}"):
        check.check(cluster_with(kind, plural, objects), "data", "dev", namespace_is_ours=True)


def test_what_may_not_be_looked_up_in_other_namespaces_counts_as_somebodys() -> None:
    for path in ("/api/v1/namespaces", "/api/v1/configmaps"):
        cluster = cluster_with("ConfigMap", "configmaps", in_namespaces("ConfigMap", "istio-ca-root-cert", *EVERYWHERE))
        cluster.answers[path] = 403
        with pytest.raises(check.Refusal, match="configmap/istio-ca-root-cert"):
            check.check(cluster, "data", "dev", namespace_is_ours=True)


def test_where_both_namespaces_hold_objects_both_settings_are_named() -> None:
    objects = in_namespaces("ConfigMap", "mine", "data", "data-canary")
    with pytest.raises(check.Refusal) as refused:
        check.check(cluster_with("ConfigMap", "configmaps", objects), "data", "dev", True, "data-canary")
    lines = str(refused.value).splitlines()
    assert "or let the stack go of the namespace: set `create: false` under storage-tiers:namespace and run `pulumi up`." in lines
    assert [line for line in lines if line.startswith("or do without a canary: set `enabled: false` under storage-tiers:canary")]
    assert "Where a controller puts back what is deleted, both settings are needed, and one `pulumi up`." in lines


def test_a_kind_that_its_group_serves_in_an_older_version_alone_counts_and_none_is_listed_twice() -> None:
    api = "/apis/gateway.networking.k8s.io"
    served = answers(
        **{
            "/apis": {"groups": [group("apps/v1"), group(f"{api[6:]}/v1alpha2", f"{api[6:]}/v1")]},
            f"{api}/v1": {"resources": [resource("gateways", "Gateway")]},
            f"{api}/v1alpha2": {"resources": [resource("gateways", "Gateway"), resource("tcproutes", "TCPRoute")]},
            f"{api}/v1/namespaces/data/gateways": {"items": []},
            f"{api}/v1alpha2/namespaces/data/tcproutes": {"items": [{"metadata": {"name": "kafka", "uid": "7"}}]},
        }
    )
    cluster = Recorded(served)
    with pytest.raises(check.Refusal, match="\n  tcproute/kafka\n"):
        check.check(cluster, "data", "dev", namespace_is_ours=True)
    found = [(each.base, each.plural) for each in Discovery(cluster).in_namespaces() if each.base.startswith(api)]
    assert found == [(f"{api}/v1", "gateways"), (f"{api}/v1alpha2", "tcproutes")]


def test_what_may_not_be_listed_counts_as_there() -> None:
    with pytest.raises(ApiError):
        check.check(Recorded(answers(**{"/api/v1/namespaces/data/configmaps": 403})), "data", "dev", namespace_is_ours=True)


class Stamping(Recorded):
    """A cluster that takes stamps, or refuses them."""

    def __init__(self, refused: bool) -> None:
        claim = {"metadata": {"name": "data-kafka-0", "uid": "1", "labels": OURS}, "spec": {"volumeName": "pv"}}
        volume = {"metadata": {"name": "pv", "resourceVersion": "7"}, "spec": {"claimRef": {"uid": "1"}}}
        super().__init__(
            answers(
                **{
                    "/api/v1/namespaces/data/persistentvolumeclaims": {"items": [claim]},
                    "/api/v1/persistentvolumes": 403 if refused else {"items": [volume]},
                }
            )
        )
        self.stamped: dict[str, Any] = {}

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.stamped[path] = body["metadata"]["labels"]
        return body


def test_the_last_to_see_the_claims_stamps_their_volumes() -> None:
    cluster = Stamping(refused=False)
    check.stamp(cluster, "data", "dev")
    assert cluster.stamped == {"/api/v1/persistentvolumes/pv": Stamp("dev", "kafka", 0, "streaming").labels}


def test_without_the_right_to_stamp_the_destroy_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    check.stamp(Stamping(refused=True), "data", "dev")
    assert capsys.readouterr().err == (
        "Warning: the volumes of stack dev could not be labelled with what they hold (403 Forbidden). They are retained; "
        "to get them back later, name each one in the setting `adopt`.\n"
    )


class Keeping(Recorded):
    """A cluster in which the volume of data-kafka-0 is being deleted; it takes new volumes, or
    answers `refused`.
    """

    def __init__(self, refused: int = 0, volumes: list[dict[str, Any]] | None = None) -> None:
        claim = {
            "metadata": {"name": "data-kafka-0", "namespace": "data", "uid": "1", "labels": OURS},
            "spec": {"volumeName": "pv"},
            "status": {"phase": "Bound"},
        }
        reference = {"namespace": "data", "name": "data-kafka-0", "uid": "1"}
        spec = {"claimRef": reference, "persistentVolumeReclaimPolicy": "Retain", "local": {"path": "/x"}}
        going = {"metadata": {"name": "pv", "uid": "2", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec}
        super().__init__(
            {
                "/api/v1/namespaces/data/persistentvolumeclaims": {"items": [claim]},
                "/api/v1/persistentvolumes": {"items": [going] if volumes is None else volumes},
                "/api/v1/nodes": {"items": []},
            }
        )
        self.refused = refused
        self.made: list[dict[str, Any]] = []

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if self.refused:
            raise ApiError("recorded", self.refused)
        self.made.append(body)
        return body


def test_the_data_of_a_volume_that_is_being_deleted_is_declared_again_before_the_claim_goes(capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Keeping()
    check.keep(cluster, "data", "dev")
    (made,) = cluster.made
    assert made["spec"]["local"] == {"path": "/x"}
    assert capsys.readouterr().err == f"Volume pv is being deleted: its data is declared again as {made['metadata']['name']}.\n"


def test_where_that_may_not_be_the_destroy_is_refused_with_two_ways() -> None:
    with pytest.raises(check.Refusal) as refused:
        check.keep(Keeping(refused=403), "data", "dev")
    assert str(refused.value) == (
        "Volume pv is being deleted, and goes with claim data/data-kafka-0. Its data stays, but nothing would say where that is:\n"
        "it could not be declared again (403 Forbidden).\n"
        "Use a context that may create persistentvolumes. Or write down where the data is, and delete that claim yourself:\n"
        "  kubectl --context here get pv pv -o yaml > pv.yaml\n"
        "  kubectl --context here -n data delete pvc data-kafka-0\n"
        "Then run `pulumi destroy` again. Nothing was deleted."
    )
    by_hand = Keeping(refused=403, volumes=[])
    by_hand.answers["/api/v1/namespaces/data/persistentvolumeclaims"] = {"items": []}
    check.keep(by_hand, "data", "dev")


def test_a_claim_without_its_volume_may_go_and_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    check.keep(Keeping(volumes=[]), "data", "dev")
    check.warn(Keeping(volumes=[]), "data", "dev")
    assert "Warning: the volume pv of claim data/data-kafka-0 was deleted." in capsys.readouterr().err


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with the launcher, the check, and what the check needs."""
    (tmp_path / "components" / "destroy_guard").mkdir(parents=True)
    for name in ("run_python", "destroy_guard/check.py", "moves.py", "__init__.py"):
        shutil.copy(ROOT / "components" / name, tmp_path / "components" / name)
    shutil.copytree(ROOT / "components" / "kube", tmp_path / "components" / "kube", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def guard(project: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [
        "components/run_python",
        "components/destroy_guard/check.py",
        "--context=none",
        "--namespace=data",
        "--instance=dev",
        "destroy",
    ]
    return subprocess.run(command, cwd=project, env={**os.environ, **variables}, capture_output=True, text=True)


@pytest.mark.skipif(os.name == "nt", reason="Windows starts run_python.cmd")
class TestLauncher:
    def test_runs_the_projects_python_and_a_missing_context_is_explained(self, project: Path, tmp_path: Path) -> None:
        (project / ".venv").symlink_to(ROOT / ".venv")
        done = guard(project, KUBECONFIG=str(tmp_path / "missing"))
        assert done.returncode == 1
        assert "Set KUBECONFIG to a file with the context 'none'" in done.stderr
        assert "Traceback" not in done.stderr

    def test_falls_back_to_python3_of_the_path_and_says_what_is_missing_there(self, project: Path, tmp_path: Path) -> None:
        bare = tmp_path / "bin"
        bare.mkdir()
        (bare / "python3").write_text(f'#!/bin/sh\nexec "{ROOT}/.venv/bin/python" -S "$@"\n')  # without any installed package
        (bare / "python3").chmod(0o755)
        done = guard(project, PATH=f"{bare}:/usr/bin:/bin")
        assert done.returncode == 1
        assert "pulumi install" in done.stderr
        assert "Traceback" not in done.stderr


def test_both_launchers_are_there_and_the_shell_script_is_executable() -> None:
    mode = subprocess.run(["git", "ls-files", "-s", "components/run_python"], cwd=ROOT, capture_output=True, text=True).stdout.split()[0]
    assert mode == "100755"
    assert (ROOT / "components" / "run_python.cmd").read_bytes().startswith(b"@echo off\r\n")
