"""The project's client goes the way that kubectl goes.

By each kubeconfig of the table: the same user, the same server, the same proxy.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from components.kube.api import ApiError, KubeApi
from components.kube.kubeconfig import Kubeconfig
from devkube.toolchain.build import build
from tests.kubeconfig_cases import CASES, CONTEXT, Case
from tests.recording_server import Place, recording

pytestmark = pytest.mark.engine

COMPARED = [case for case in CASES if not case.asks]


@pytest.fixture(scope="module")
def kubectl() -> Path:
    return build("node") / "kubectl"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with recording(tmp_path_factory.mktemp("server")) as made:
        yield made


def bare(changed: Mapping[str, str]) -> dict[str, str]:
    """An environment that leads nowhere but where the case says."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**{name: value for name, value in kept.items() if not name.startswith(("SSL_CERT", "KUBE"))}, **changed}


def told(folder: Path) -> Any:
    """What a program that signs in was told, if there was one; and as if it had told nobody."""
    file = folder / "told"
    said = json.loads(file.read_text()) if file.exists() else None
    file.unlink(missing_ok=True)
    return said


def seen(place: Place) -> tuple[list[Any], list[str]]:
    """What has reached the server and the proxies, each once.

    Some kubectl ask for the version twice.
    """
    requests: list[Any] = []
    for each in place.recorded.requests:
        found = {**each, "path": each["path"].partition("?")[0]}
        if found not in requests:
            requests.append(found)
    return requests, list(dict.fromkeys(place.recorded.proxied))


@pytest.mark.parametrize("case", COMPARED, ids=[case.name for case in COMPARED])
def test_the_same_reaches_the_server(case: Case, kubectl: Path, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if case.outside and not place.address:
        pytest.skip("this machine has no address but the loopback's")
    environment = bare(case.write(place, tmp_path))
    place.recorded.clear()
    done = subprocess.run(
        [kubectl, f"--context={CONTEXT}", "version"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    theirs = (*seen(place), told(tmp_path))
    place.recorded.clear()
    for name in set(os.environ) - set(environment):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    try:
        KubeApi(Kubeconfig.load(), CONTEXT).get("/version")
        reached = True
    except ApiError:
        reached = False
    ours = (*seen(place), told(tmp_path))
    assert (done.returncode == 0) is reached, done.stderr
    assert ours == theirs
    assert reached is (case.reaches is not None), done.stderr
