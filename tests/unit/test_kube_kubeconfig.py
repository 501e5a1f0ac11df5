"""What reaches the server by each kubeconfig and environment of the table.

Tests/engine/test_kubectl.py holds kubectl against the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.kube.api import ApiError, KubeApi, UnusableContext
from components.kube.kubeconfig import Kubeconfig, UnreadableKubeconfig
from tests.kubeconfig_cases import CASES, CONTEXT, PATH, Case
from tests.recording_server import Place, recording


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with recording(tmp_path_factory.mktemp("server")) as made:
        yield made


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the environment of whoever runs the tests leads anywhere."""
    for name in [each for each in os.environ if each.lower().endswith("_proxy") or each.startswith(("SSL_CERT", "KUBE"))]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_reaches_the_server(case: Case, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if case.outside and not place.address:
        pytest.skip("this machine has no address but the loopback's")
    for name, value in case.write(place, tmp_path).items():
        monkeypatch.setenv(name, value)
    place.recorded.clear()
    api = KubeApi(Kubeconfig.load(), CONTEXT)
    if case.reaches is None:
        with pytest.raises(ApiError) as refused:
            api.get(PATH)
        assert refused.value.status is None
        assert case.says in str(refused.value)
        assert place.recorded.requests == []
        return
    assert api.get(PATH) == {}
    (found,) = place.recorded.requests
    seen = {**found, "proxied": place.recorded.proxied}

    def filled(wanted: object) -> object:
        if isinstance(wanted, str):
            return wanted.replace("PORT", str(place.port)).replace("ADDRESS", place.address)
        return [filled(each) for each in wanted] if isinstance(wanted, list) else wanted

    assert {key: seen[key] for key in case.reaches} == {key: filled(value) for key, value in case.reaches.items()}


def test_the_first_current_context_counts(tmp_path: Path) -> None:
    for name, current in (("one", None), ("two", "second"), ("three", "third")):
        (tmp_path / name).write_text(f"current-context: {current or ''}\n")
    assert Kubeconfig.load(*(tmp_path / name for name in ("none", "one", "two", "three"))).current_context == "second"


def test_without_a_variable_it_is_that_of_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert Kubeconfig.load().files == (tmp_path / ".kube" / "config",)
    assert Kubeconfig.load().contexts == {}


@pytest.mark.parametrize("text", ["[", "contexts: [{}]", "contexts: 3", "- 1", "\x00", "clusters: [{name: c, cluster: 1}]"])
def test_what_is_no_kubeconfig(text: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(UnreadableKubeconfig) as refused:
        Kubeconfig.load(tmp_path / "config")
    assert refused.value.file == tmp_path / "config"


@pytest.mark.parametrize(
    ("cluster", "user", "says"),
    [
        ({"server": 6443}, {}, "server that is no text: 6443"),
        ({"server": "ftp://host"}, {}, "is no address"),
        ({"server": "https://host:port"}, {}, "Port could not be cast"),
        ({"server": "https://"}, {}, "is no address"),
        ({"certificate-authority-data": "?"}, {}, "certificate-authority-data that is not base64"),
        ({"certificate-authority": "/none"}, {}, "names certificate-authority /none, which can't be read"),
        ({"insecure-skip-tls-verify": "yes"}, {}, "neither true nor false"),
        ({"extensions": ["x"]}, {"token": 5}, "token that is no text: 5"),
        ({}, {"as": "x", "as-groups": "readers"}, "no list of texts"),
        ({}, {"as-user-extra": [1]}, "no mapping"),
        ({}, {"as-uid": "1"}, "without `as`"),
        ({}, {"exec": {"command": "x"}}, "needs both a command and an apiVersion"),
        (
            {},
            {"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", "env": ["A=B"]}},
            "no list of names and values",
        ),
        (
            {},
            {"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", "env": [{}]}},
            "without a name",
        ),
        ({}, {"client-certificate-data": "eA==", "client-key-data": "eA=="}, "PEM"),
    ],
)
def test_what_is_wrong_with_which_entry(cluster: dict[str, object], user: dict[str, object], says: str) -> None:
    entry = {"server": "https://127.0.0.1:1", **cluster}
    kubeconfig = Kubeconfig((), {CONTEXT: {"cluster": "c", "user": "u"}}, {"c": entry}, {"u": user})
    with pytest.raises(UnusableContext, match=says) as refused:
        KubeApi(kubeconfig, CONTEXT, patience=60).get("/version")
    assert (refused.value.context, refused.value.path) == (CONTEXT, "/version")
