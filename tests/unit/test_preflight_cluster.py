"""Which clusters a stack is refused on, without a cluster: kubeconfigs and nodes of many kinds."""

from __future__ import annotations

import http.server
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from components.kube import attributes
from components.kube.kubeconfig import Kubeconfig
from components.preflight import cluster as cluster_check
from components.preflight.attributes import read_attributes_classes
from components.preflight.cluster import check_cluster, cloud_of, uid_of_cluster
from components.provisioners import PROVISIONERS
from components.settings import Settings, SettingsError, load
from tests.unit import https_server
from tests.unit.mocked_program import dev_config

Write = Callable[..., Path]


def settings(context: str, **changes: Any) -> Settings:
    if "tiers" in changes:
        changes["services"] = {}
    return load(dev_config(cluster={"context": context, "identifier": "a"}, **changes), "dev")


@pytest.fixture(autouse=True)
def preview(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a kubeconfig with these contexts and names it in KUBECONFIG.

    All are on one cluster, of one user.
    """

    def write(*contexts: str, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> Path:
        file = tmp_path / "kubeconfig"
        document = {
            "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in contexts],
            "clusters": [{"name": "c", "cluster": cluster or {"server": "https://127.0.0.1:1"}}],
            "users": [{"name": "u", "user": user or {}}],
        }
        file.write_text(yaml.safe_dump(document))
        monkeypatch.setenv("KUBECONFIG", str(file))
        return file

    return write


def refusal(context: str) -> str:
    with pytest.raises(SettingsError) as refused:
        check_cluster(settings(context))
    (problem,) = refused.value.problems
    return str(problem)


class TestContext:
    def test_one_like_it(self, write: Write) -> None:
        file = write("kind-dev", "prod")
        assert refusal("kind-dve") == (
            f'cluster.context: "kind-dve": no such context in the kubeconfig {file}; there are: kind-dev, prod. '
            "Works: kind-dev (`pulumi config set --path cluster.context kind-dev`)"
        )

    def test_nothing_like_it(self, write: Write) -> None:
        file = write("kind-dev", "prod")
        assert refusal("storage-tiers-dev") == (
            f'cluster.context: "storage-tiers-dev": no such context in the kubeconfig {file}; there are: kind-dev, prod. '
            "Works: one of these (`pulumi config set --path cluster.context <context>`), or the dev cluster: `make up`, then `. .dev/env`"
        )

    @pytest.mark.parametrize("there", [True, False])
    def test_none_at_all_stops_an_up_but_no_preview(self, there: bool, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        file = write()
        if not there:
            file.unlink()
        check_cluster(settings("a"))
        monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: False)
        assert refusal("a") == (
            f'cluster.context: "a": no such context in the kubeconfig {file}; there are: none. '
            "Works: the dev cluster: `make up`, then `. .dev/env`; or set KUBECONFIG to the file that has the context"
        )

    @pytest.mark.parametrize("content", ["contexts: [", "[1]", "contexts: [{name: a}]", "contexts: 3"])
    def test_a_damaged_kubeconfig(self, content: str, write: Write) -> None:
        file = write()
        file.write_text(content)
        said = refusal("a")
        assert said.startswith(f'KUBECONFIG: "{file}": the files in KUBECONFIG are kubeconfigs, and this one can\'t be read (')
        assert "\n" not in said

    def test_of_several_files_the_first_that_has_a_name_counts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "config").write_text(
                yaml.safe_dump(
                    {
                        "contexts": [{"name": each, "context": {"cluster": name}} for each in ("both", name)],
                        "users": [{"name": name, "user": {"client-key": "key.pem", "token": "key.pem"}}],
                    }
                )
            )
        monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/one/config:{tmp_path}/none:{tmp_path}/two/config:")
        read = Kubeconfig.load()
        assert {name: entry["cluster"] for name, entry in read.contexts.items()} == {"both": "one", "one": "one", "two": "two"}
        assert read.users["two"] == {"client-key": f"{tmp_path}/two/key.pem", "token": "key.pem"}


@pytest.mark.parametrize(
    ("provider_id", "labels", "cloud"),
    [
        ("aws:///eu-west-1a/i-0abc", {}, ("AWS", "providerID aws:///eu-west-1a/i-0abc")),
        ("gce://project/zone/name", {}, ("Google Cloud", "providerID gce://project/zone/name")),
        ("azure:///subscriptions/x", {}, ("Azure", "providerID azure:///subscriptions/x")),
        (None, {"a": "b", "eks.amazonaws.com/nodegroup": "n"}, ("AWS", "label eks.amazonaws.com/nodegroup")),
        (None, {"cloud.google.com/gke-nodepool": "n"}, ("Google Cloud", "label cloud.google.com/gke-nodepool")),
        (None, {"kubernetes.azure.com/cluster": "n"}, ("Azure", "label kubernetes.azure.com/cluster")),
        ("kind://docker/kind/kind-control-plane", {"kubernetes.io/hostname": "aws"}, None),
        ("k3s://laptop", {}, None),
        ("vsphere://4210", {}, None),
        ("aws", {}, None),
        (None, None, None),
    ],
)
def test_whose_a_node_is(provider_id: str | None, labels: dict[str, str] | None, cloud: tuple[str, str] | None) -> None:
    spec = {} if provider_id is None else {"providerID": provider_id}
    assert cloud_of({"metadata": {"name": "n", "labels": labels}, "spec": spec}) == cloud


# A cluster of a cloud, without the snapshot CRDs, and older than VolumeAttributesClass.
ANSWERS = {
    "/api/v1/nodes": {"items": [{"metadata": {"name": "n"}, "spec": {"providerID": "gce://p/z/n"}}]},
    "/apis/storage.k8s.io/v1": {"resources": [{"name": "storageclasses"}]},
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """An HTTPS server that has one node of a cloud for the token `good`, and nothing for others:
    its address and its certificate.
    """

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers.get("Authorization") == "Bearer good"
            path = self.path.removeprefix("/prefix").partition("?limit=")[0]
            self.send_response(403 if not known else 200 if path in ANSWERS else 404)
            self.end_headers()
            self.wfile.write(json.dumps(ANSWERS.get(path, {}) if known else {}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with https_server.serving(Answer, tmp_path_factory.mktemp("api")) as (address, certificate):
        yield f"{address}/prefix", certificate


GOOGLE = (
    'cluster.context: "a": node n of this cluster belongs to Google Cloud (providerID gce://p/z/n), which replaces nodes together with '
    "their disks; local-path keeps all data on one node's own disk. "
    "Works: the context of a development cluster, such as storage-tiers-dev of `make up`"
)

_CREDENTIAL = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "good"}}
PROGRAM = {
    "apiVersion": _CREDENTIAL["apiVersion"],
    "command": sys.executable,
    "args": ["-c", f"print({json.dumps(_CREDENTIAL)!r})"],
    "interactiveMode": "Never",
}


class TestAsking:
    def test_with_a_token(self, api: tuple[str, str], write: Write) -> None:
        write("a", cluster={"server": api[0], "certificate-authority": api[1]}, user={"token": "good"})
        assert refusal("a") == GOOGLE

    def test_with_a_token_in_a_file(self, api: tuple[str, str], write: Write) -> None:
        file = write("a", cluster={"server": api[0], "certificate-authority": api[1]}, user={"tokenFile": "token"})
        (file.parent / "token").write_text("good\n")
        assert refusal("a") == GOOGLE

    def test_through_a_program_that_signs_in(self, api: tuple[str, str], write: Write) -> None:
        write("a", cluster={"server": api[0], "certificate-authority": api[1]}, user={"exec": PROGRAM})
        assert refusal("a") == GOOGLE

    @pytest.mark.parametrize("through", ["directly", "program"])
    def test_who_may_not_see_nodes_is_warned(
        self, through: str, api: tuple[str, str], write: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said: list[str] = []
        monkeypatch.setattr(pulumi.log, "warn", said.append)
        user = {"token": "bad"} if through == "directly" else {"username": "a", "password": "b"}
        write("a", cluster={"server": api[0], "certificate-authority": api[1]}, user=user)
        check_cluster(settings("a"))
        assert said == ["whether the nodes of context a belong to a cloud could not be checked: the API answered 403"]

    @pytest.mark.parametrize(
        "cluster",
        [
            {"server": "https://127.0.0.1:1"},
            {"server": "http://127.0.0.1:1"},
            {"server": "https://127.0.0.1:nonsense"},
            {"server": ""},
            {"server": "https://127.0.0.1:1", "certificate-authority": "/nowhere"},
            {"server": "https://127.0.0.1:1", "certificate-authority-data": "AAAA"},
            {"server": "https://127.0.0.1:1", "certificate-authority-data": "?"},
        ],
    )
    @pytest.mark.parametrize("user", [{}, {"client-certificate-data": "AAAA"}, {"exec": {"command": "/nowhere"}}])
    def test_a_cluster_that_does_not_answer_is_no_obstacle(self, cluster: dict[str, str], user: dict[str, Any], write: Write) -> None:
        write("a", cluster=cluster, user=user)
        check_cluster(settings("a"))

    def test_a_proxy_in_the_way_is_named_once(self, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        """Pulumi's plugin says it too, but not by which variable."""
        said: list[str] = []
        monkeypatch.setattr(pulumi.log, "warn", said.append)
        monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:1")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        write("a", cluster={"server": "https://api.once.example:6443"}, user={"token": "good"})
        check_cluster(settings("a"))
        check_cluster(settings("a"))
        assert said == [
            "the cluster of context 'a' does not answer "
            "(the proxy http://127.0.0.1:1 (HTTPS_PROXY) doesn't lead there: Connection refused). "
            "Correct HTTPS_PROXY, or where api.once.example is reached without a proxy, name it: `export NO_PROXY=api.once.example`."
        ]

    def test_an_unknown_authority_is_never_trusted(self, api: tuple[str, str], write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        write("a", cluster={"server": api[0]}, user={"token": "good"})
        check_cluster(settings("a"))
        write("a", cluster={"server": api[0], "insecure-skip-tls-verify": True}, user={"token": "good"})
        assert refusal("a") == GOOGLE

    @pytest.mark.parametrize("user", [{"token": "good"}, {"exec": PROGRAM}], ids=["directly", "program"])
    def test_kinds_that_the_cluster_lacks_are_named_with_their_tier(self, user: dict[str, Any], api: tuple[str, str], write: Write) -> None:
        write("a", cluster={"server": api[0], "certificate-authority": api[1]}, user=user)
        tiers = {"database": {"snapshots": {}}, "streaming": {"attributes": {"fast": {"throughput": 250}}}}
        with pytest.raises(SettingsError) as refused:
            check_cluster(settings("a", provisioner="ebs", tiers=tiers))
        assert list(map(str, refused.value.problems)) == [
            "tiers.database.snapshots: VolumeSnapshotClass: the cluster has no VolumeSnapshotClass (volumesnapshotclasses of "
            "snapshot.storage.k8s.io/v1); it has one where external-snapshotter's CRDs and controller are installed. Works: without "
            "`snapshots`",
            "tiers.streaming.attributes: VolumeAttributesClass: the cluster has no VolumeAttributesClass (volumeattributesclasses of "
            "storage.k8s.io/v1); it has one where it is Kubernetes 1.34 or newer. Works: without `attributes`",
        ]

    def test_kinds_that_the_cluster_has_are_no_obstacle(self, api: tuple[str, str], write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(ANSWERS, "/apis/snapshot.storage.k8s.io/v1", {"resources": [{"name": "volumesnapshotclasses"}]})
        monkeypatch.setitem(ANSWERS, "/apis/storage.k8s.io/v1", {"resources": [{"name": "volumeattributesclasses"}]})
        write("a", cluster={"server": api[0], "certificate-authority": api[1]}, user={"token": "good"})
        check_cluster(settings("a", provisioner="ebs", tiers={"database": {"snapshots": {}, "attributes": {"fast": {"throughput": 250}}}}))

    @pytest.mark.parametrize("user", [{"token": "bad"}, {}])
    def test_who_may_not_see_kinds_goes_on(self, user: dict[str, str], api: tuple[str, str], write: Write) -> None:
        write("a", cluster={"server": api[0], "certificate-authority": api[1]}, user=user)
        check_cluster(settings("a", provisioner="gce-pd", tiers={"database": {"snapshots": {}}}))

    def test_a_provisioner_of_a_cloud_is_not_asked(self, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        write("a")
        monkeypatch.setattr(type(PROVISIONERS["local-path"]), "tied_to_node", False)
        monkeypatch.setattr(cluster_check, "_nodes", lambda *_: pytest.fail("asked"))
        check_cluster(settings("a"))

    def test_a_program_signs_in_once_for_all_that_is_asked(
        self, api: tuple[str, str], write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Such a program, as the clouds have it, takes up to seconds each time."""
        script = f"open({str(tmp_path / 'runs')!r}, 'a').write('x'); print({json.dumps(_CREDENTIAL)!r})"
        user = {"exec": {**PROGRAM, "args": ["-c", script]}}
        write("a", "b", cluster={"server": api[0], "certificate-authority": api[1]}, user=user)
        monkeypatch.setitem(ANSWERS, "/apis/storage.k8s.io/v1", {"resources": [{"name": "volumeattributesclasses"}]})
        monkeypatch.setitem(ANSWERS, "/api/v1/namespaces/kube-system", {"metadata": {"uid": "mine"}})
        calm = {"metadata": {"name": "calm"}, "driverName": "ebs.csi.aws.com"}
        monkeypatch.setitem(ANSWERS, attributes.PATH, {"items": [calm]})
        wanted = settings("a", provisioner="ebs", tiers={"database": {"attributes": {"fast": {"throughput": 250}}}})
        asked = check_cluster(wanted)
        assert asked is not None
        assert uid_of_cluster(wanted, asked) == "mine"
        assert [each.name for each in read_attributes_classes(wanted, asked)] == ["calm"]
        assert (tmp_path / "runs").read_text() == "x"
        assert asked.of_context("b").get("/api/v1/namespaces/kube-system")
        assert (tmp_path / "runs").read_text() == "xx"
