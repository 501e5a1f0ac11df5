"""What survives when a dev cluster is lost: a clone of its own, whose cluster loses etcd, then
everything but its volumes.

The tests run in the order of the file; the data that the first one writes is the same at the end.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes import client

from devkube import paths
from devkube.cluster import embedded, kind
from tests.clone import Clone
from tests.conftest import eventually
from tests.integration.consumer_pods import ConsumerPods
from tests.kubeconfig import client_of

not_embedded = "; ".join(embedded.lacking()) or ("" if kind.lacking() else "this machine's clusters are Kind's, whose etcd is in the node")

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(not_embedded), reason=f"it takes the folders of an embedded cluster apart: {not_embedded}"),
]

CLAIMS = ["data-postgres-0", "data-kafka-0", "data-kafka-1", "data-kafka-2"]
UP = ("make", "up", "ADOPT=1")


class Recovering:
    """A clone with a dev stack, and what was written to its volumes.

    Its canaries are off but where they are what is looked at.
    """

    def __init__(self, folder: Path) -> None:
        self.clone = Clone(folder, lend_environment=True)
        self.settings = folder / "Pulumi.dev.yaml"
        self.canary = yaml.safe_load(self.settings.read_text())["config"]["storage-tiers:canary"]
        self.configure(canary={"enabled": False})
        self.hashes: dict[str, str] = {}

    def configure(self, **changes: object) -> None:
        document = yaml.safe_load(self.settings.read_text())
        document["config"].update({f"storage-tiers:{key}": value for key, value in changes.items()})
        self.settings.write_text(yaml.safe_dump(document, sort_keys=False))

    def proofs(self) -> dict[str, str]:
        """Each tier's last proof, by a name that no other one has."""
        outputs = json.loads(self.clone.shell("pulumi stack output --json --stack dev"))
        return {tier: verdict["run"] for tier, verdict in outputs["canary"].items()}

    @property
    def home(self) -> Path:
        return paths.MACHINE_STATE / self.clone.identity

    def core(self) -> client.CoreV1Api:
        return client.CoreV1Api(client_of(self.clone.folder / ".dev/kubeconfig"))

    def pods(self) -> ConsumerPods:
        return ConsumerPods(self.core(), "storage-tiers.local/busybox:1", hashes=self.hashes)

    def bound(self) -> dict[str, str]:
        return {each.metadata.name: each.spec.volume_name for each in self.core().list_namespaced_persistent_volume_claim("data").items}

    def intact(self) -> None:
        """Every claim's pod reads what was written through that claim."""
        pods = self.pods()
        pods.start(CLAIMS)
        assert pods.read(CLAIMS) == self.hashes
        pods.stop()

    def forget(self) -> None:
        """Delete the objects of claims and volumes: what is left are directories, as after etcd was
        wiped, but quicker.
        """
        core = self.core()
        for claim in CLAIMS:
            core.delete_namespaced_persistent_volume_claim(claim, "data")
        eventually(lambda: not self.bound(), "the claims are gone")
        core.delete_collection_persistent_volume()
        eventually(lambda: not core.list_persistent_volume().items, "the volumes' objects are gone")


@pytest.fixture(scope="module")
def recovering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recovering]:
    made = Recovering(tmp_path_factory.mktemp("lost") / "clone")
    yield made
    made.clone.works(made.clone.python, "-m", "dev", "purge", "--yes", "--unseen")


def test_new_and_empty_beside_old_volumes_is_said(recovering: Recovering) -> None:
    clone = recovering.clone
    clone.works("make", "up")
    pods = recovering.pods()
    pods.start(CLAIMS)
    pods.write(CLAIMS)
    pods.stop()
    said = clone.works("make", "destroy")
    assert "`make up ADOPT=1` gives each claim its own volume again" in said
    said = clone.works("make", "up")
    assert "New and empty, while older volumes with data are there: postgres 0, kafka 0, kafka 1, kafka 2." in said
    said = clone.works(*UP)
    assert "Adopted, each bound to the volume that was its own:" in said
    assert "New and empty" not in said
    recovering.intact()


def test_the_list_can_be_saved(recovering: Recovering) -> None:
    saved = recovering.clone.run(recovering.clone.python, "-m", "dev", "volumes", "--json").stdout
    (recovering.clone.folder / "saved.json").write_text(saved)
    found = json.loads(saved)
    assert (found["format"], found["stack"], len(found["volumes"])) == (1, "dev", 4)
    assert {each["data"]["path"].rsplit("_", 1)[1] for each in found["volumes"]} == set(CLAIMS)


def test_etcd_is_wiped(recovering: Recovering) -> None:
    """The tiers are proven again by themselves, and once: another etcd is another cluster, of the
    same name and settings.
    """
    clone, before = recovering.clone, recovering.bound()
    recovering.configure(canary=recovering.canary)
    clone.works("make", "up")
    proven = recovering.proofs()
    clone.works("make", "up")
    assert recovering.proofs() == proven, "the same cluster is not proven again"
    clone.works("make", "down")
    shutil.rmtree(recovering.home / "etcd")
    said = clone.works(*UP)
    for tier, run in recovering.proofs().items():
        assert run != proven[tier]
        assert f"{tier}-local-path: this is not the cluster that it was proven on, so it is proven again." in said
    proven = recovering.proofs()
    assert recovering.bound() == before, "the volumes have their old names too"
    for name, volume in before.items():
        assert f"(data/{name}): {volume}" in said
    recovering.intact()
    clone.shell("pulumi up --yes --skip-preview --refresh --expect-no-changes")
    assert recovering.proofs() == proven
    recovering.configure(canary={"enabled": False})


def test_everything_but_the_volumes_is_gone(recovering: Recovering) -> None:
    clone, before = recovering.clone, recovering.bound()
    clone.works("make", "down")
    for part in recovering.home.iterdir():
        if part.name != "volumes":
            shutil.rmtree(part) if part.is_dir() else part.unlink()
    shutil.rmtree(clone.folder / ".dev")
    clone.works(*UP)
    assert recovering.bound() == before
    recovering.intact()


def test_a_directory_that_was_moved_is_named_in_the_settings(recovering: Recovering) -> None:
    clone, before = recovering.clone, recovering.bound()
    recovering.forget()
    volumes = recovering.home / "volumes"
    old, moved = volumes / f"{before['data-kafka-1']}_data_data-kafka-1", volumes / "restored"
    old.rename(moved)
    said = clone.works(*UP)
    assert "No old volume was found for kafka 1 (data/data-kafka-1): a new one, when a pod uses the claim." in said
    recovering.configure(adopt={"kafka": {"1": str(volumes / "nowhere")}})
    done = clone.run(*UP)
    assert done.returncode != 0
    assert f"kafka 1 (data/data-kafka-1): adopt.kafka.1: {volumes}/nowhere: there is no directory {volumes}/nowhere." in done.stderr
    theirs = volumes / f"{before['data-kafka-2']}_data_data-kafka-2"
    recovering.configure(adopt={"kafka": {"1": str(theirs)}})
    done = clone.run(*UP)
    assert done.returncode != 0
    assert f"{before['data-kafka-2']} is labelled as the volume of kafka 2 of stack dev" in done.stderr
    recovering.configure(adopt={"kafka": {"1": str(moved)}})
    clone.works(*UP)
    recovering.intact()


def test_a_saved_list_says_what_the_directories_names_dont(recovering: Recovering) -> None:
    clone = recovering.clone
    saved = clone.run(clone.python, "-m", "dev", "volumes", "--json").stdout
    (clone.folder / "saved.json").write_text(saved)
    recovering.configure(adopt={})
    recovering.forget()
    clone.works(*UP, "FROM=saved.json")
    recovering.intact()


def test_two_directories_of_one_claim_are_not_chosen_between(recovering: Recovering) -> None:
    clone, before = recovering.clone, recovering.bound()
    recovering.forget()
    older = recovering.home / "volumes" / "pvc-00000000-0000-4000-8000-000000000000_data_data-kafka-0"
    older.mkdir()
    done = clone.run(*UP)
    assert done.returncode != 0
    assert "1 of the 4 claims of stack dev can't be given a volume; nothing was reserved:" in done.stderr
    assert "kafka 0 (data/data-kafka-0): 2 volumes were its own:" in done.stderr
    assert f"\n      pvc-00000000-0000-4000-8000-000000000000  no volume object, {older}\n" in done.stderr
    older.rmdir()
    recovering.configure(adopt={"kafka": {"1": str(recovering.home / "volumes" / "restored")}})
    clone.works(*UP)
    assert recovering.bound() == before
    recovering.intact()


def test_a_strangers_volume_survives_prune_and_purge(recovering: Recovering) -> None:
    clone, core = recovering.clone, recovering.core()
    clone.works("make", "destroy")
    mine = next(each for each in core.list_persistent_volume().items if each.spec.claim_ref.name == "data-kafka-1").metadata.name
    core.patch_persistent_volume(mine, {"metadata": {"labels": {"app.kubernetes.io/instance": "other"}}})
    said = clone.works(clone.python, "-m", "dev", "prune", "--yes", "--older-than", "0m")
    assert said.endswith("Deleted.\n")
    assert [each.metadata.name for each in core.list_persistent_volume().items] == [mine]
    clone.works("make", "down")  # it is started to be looked at
    done = clone.run(clone.python, "-m", "dev", "purge", "--yes")
    assert done.returncode == 1
    restored = recovering.home / "volumes" / "restored"
    assert (
        f"error: this cluster holds volumes of another stack than dev; nothing was deleted:\n  {mine}: kafka 1 of stack other, Released"
        in (done.stderr)
    )
    assert list((recovering.home / "volumes").iterdir()) == [restored]
    assert (restored / "payload").is_file()
    core.patch_persistent_volume(mine, {"metadata": {"labels": {"app.kubernetes.io/instance": "dev"}}})
    clone.works(clone.python, "-m", "dev", "purge", "--yes")
    assert not recovering.home.exists()
