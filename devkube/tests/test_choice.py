"""The choice of a cluster, as a clone remembers it; and kubeconfigs that are nobody's choice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from devkube.cluster import ClusterChoice, remembered
from devkube.cluster.existing import user_has
from devkube.errors import MachineError


def test_it_is_remembered_until_it_is_reset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / ".dev/cluster.yaml"
    assert remembered(file) == ClusterChoice()
    remembered(file).with_("kind", None, "kind.yaml").write(file)
    assert remembered(file) == ClusterChoice("kind", "", str(tmp_path / "kind.yaml"))
    remembered(file).with_(None, "kindest/node:v1.34.0", None).write(file)
    assert remembered(file) == ClusterChoice("kind", "kindest/node:v1.34.0", str(tmp_path / "kind.yaml"))
    remembered(file).with_("auto", "default", "default").write(file)
    assert not file.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cluster: [", "can't be read"),
        ("- kind", "a mapping is wanted, with cluster, kind-image, kind-config"),
        ("clusters: kind", "clusters: unknown key"),
        ("kind-image: 1.34", "kind-image: 1.34: a text is wanted.\nWorks: kind-image: kindest/node:v1.34.0"),
        ("cluster:", "cluster: None: a text is wanted.\nWorks: cluster: auto. Or remove that line."),
        ("cluster: minikube", "cluster: minikube: one of auto, kind, embedded, existing is wanted"),
    ],
)
def test_a_file_that_says_no_choice_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "cluster.yaml").write_text(text)
    with pytest.raises(MachineError) as caught:
        remembered(tmp_path / "cluster.yaml")
    assert said in str(caught.value)
    assert str(tmp_path / "cluster.yaml") in str(caught.value)


def test_a_config_written_by_hand_is_found_as_a_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for named in ("~/kind.yaml", "kind.yaml", str(tmp_path / "kind.yaml")):
        (tmp_path / "cluster.yaml").write_text(yaml.safe_dump({"kind-config": named}))
        assert remembered(tmp_path / "cluster.yaml").kind_config == str(tmp_path / "kind.yaml")


def clone(folder: Path, context: str) -> Path:
    (folder / ".dev").mkdir(parents=True)
    (folder / ".dev/env").touch()
    (folder / ".dev/kubeconfig").write_text(yaml.safe_dump({"contexts": [{"name": context}]}))
    return folder / ".dev/kubeconfig"


def test_another_clones_cluster_is_not_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    theirs, ours = clone(tmp_path / "a", "dev"), tmp_path / "b/.dev/kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(theirs))  # `. .dev/env` of the other clone in this shell
    assert not user_has("dev", but=ours)
    (tmp_path / "mine").write_text(yaml.safe_dump({"contexts": [{"name": "dev"}]}))
    monkeypatch.setenv("KUBECONFIG", f"{theirs}{os.pathsep}{tmp_path / 'mine'}")
    assert user_has("dev", but=ours)
