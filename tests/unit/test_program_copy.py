"""The copy of a stack's program that previews and rehearsals run: what is in it, and what its
pulumi finds.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from devkube import paths
from devkube.engine import Engine
from review.program_copy import ProgramCopy, copy_project


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy_project(tmp_path / "copy")
    return tmp_path / "copy"


def prepared(folder: Path, kubeconfig: Path | None = None) -> ProgramCopy:
    return ProgramCopy.prepare(folder, "aws", Engine((), (Path("/engine"),)), kubeconfig)


def test_it_has_the_program_and_nothing_that_is_hidden_or_only_for_people(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert {"Pulumi.yaml", "Pulumi.aws.yaml", "__main__.py", "components", "ops", "policy"} <= names
    assert not names & {".git", ".venv", ".dev", "tests", "docs", "bench"}


def test_it_uses_this_clones_packages_and_keeps_no_secrets_of_the_stack(folder: Path) -> None:
    file = folder / "Pulumi.aws.yaml"
    file.write_text(file.read_text() + "secretsprovider: awskms://alias/mine\nencryptedkey: AAAA\n")
    before = yaml.safe_load(file.read_text())
    copy = prepared(folder)
    assert yaml.safe_load((folder / "Pulumi.yaml").read_text())["runtime"]["options"]["virtualenv"] == str(paths.VENV)
    assert yaml.safe_load(file.read_text()) == {"config": before["config"]}
    assert copy.pulumi.folder == folder


def test_its_pulumi_finds_nothing_of_the_users_own(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "KUBECONFIG", "AWS_PROFILE", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.setenv(name, "mine")
    environment = prepared(folder).pulumi.environment
    assert "mine" not in environment.values()
    assert environment["PULUMI_BACKEND_URL"] == (folder / "throw-away-state").as_uri()
    assert environment["PATH"].startswith("/engine")
    assert not Path(environment["KUBECONFIG"]).exists()


def test_with_a_cluster_and_other_settings(folder: Path, tmp_path: Path) -> None:
    copy = prepared(folder, tmp_path / "kubeconfig")
    copy.override({"protect": False, "canary.image": "mine:1", "cluster": {"context": "c", "identifier": "i"}})
    config = yaml.safe_load((folder / "Pulumi.aws.yaml").read_text())["config"]
    assert copy.pulumi.environment["KUBECONFIG"] == str(tmp_path / "kubeconfig")
    assert config["storage-tiers:protect"] is False
    assert config["storage-tiers:canary"]["image"] == "mine:1"
    assert config["storage-tiers:cluster"] == {"context": "c", "identifier": "i"}
