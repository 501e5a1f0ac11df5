"""What the README promises a person with a Pulumi CLI and a cluster of their own: no make, no
`.dev/env`.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kubernetes import client

from components.settings.models import DEFAULT_IMAGE
from devkube import paths
from devkube.cluster import Access, Cluster
from devkube.engine import Engine
from devkube.images import build_image, reference
from tests.conftest import project_files

pytestmark = pytest.mark.cluster

Run = Callable[..., str]


def settings_of_ones_own(access: Access) -> str:
    """Pulumi.dev.yaml, changed as README says."""
    readme = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    told = re.search(r"set cluster\.(\w+) and cluster\.(\w+), remove the lines (\w+) and (\w+)$", readme, re.MULTILINE)
    assert told
    settings = (paths.ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8")
    for key in told.groups()[:2]:
        settings, found = re.subn(rf"^( +{key}:).*", rf"\1 {access.context}", settings, flags=re.MULTILINE)
        assert found == 1
    for key in told.groups()[2:]:
        settings, found = re.subn(rf"^( *)(storage-tiers:)?{key}:.*\n", "", settings, flags=re.MULTILINE)
        assert found == 1
    return settings


def renamed(archive: Path, name: str, target: Path) -> Path:
    """The image of an OCI archive under another name."""
    with tarfile.open(archive) as old, tarfile.open(target, "w") as new:
        for member in old.getmembers():
            content = (old.extractfile(member) or io.BytesIO()).read()
            if member.name == "index.json":
                content = content.replace(reference("python").encode(), name.encode())
                member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return target


@pytest.fixture(scope="module")
def run(engine: Engine, access: Access, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs a command in a fresh clone, with the engine on PATH and a kubeconfig, and nothing else
    of this project's.
    """
    folder = tmp_path_factory.mktemp("plain")
    for name in project_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.ROOT / name, folder / name)
    (folder / "state").mkdir()
    outside = [each for each in os.environ["PATH"].split(os.pathsep) if each != str(paths.SCRIPTS)]
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "KUBE", "VIRTUAL_ENV"))},
        "PATH": os.pathsep.join([*map(str, engine.folders), *outside]),
        "KUBECONFIG": str(access.kubeconfig),
        "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "",
    }

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
        assert done.returncode == 0, f"{command}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    (folder / "Pulumi.mine.yaml").write_text(settings_of_ones_own(access))
    # What a cluster of one's own pulls, this one can't.
    cluster.load_image(renamed(build_image("python"), DEFAULT_IMAGE, folder / "python-as-pulled.tar"))
    yield run
    subprocess.run(["pulumi", "destroy", "--yes", "--skip-preview", "--stack", "mine"], cwd=folder, env=variables, capture_output=True)


@pytest.mark.package_index
def test_install_up_and_destroy(run: Run, core: client.CoreV1Api) -> None:
    run("pulumi", "install")
    run("pulumi", "stack", "init", "mine")
    run("pulumi", "up", "--yes")
    claims = core.list_namespaced_persistent_volume_claim("data", label_selector="app.kubernetes.io/instance=mine").items
    assert len(claims) == 4
    run("pulumi", "up", "--yes", "--expect-no-changes")
    run("pulumi", "destroy", "--yes")
    assert "data" not in [each.metadata.name for each in core.list_namespace().items]
    found = run("components/run_python", "-c", "import sys; print(sys.prefix)").strip()
    assert Path(found).name == ".venv", "the committed launcher takes what `pulumi install` has made"
