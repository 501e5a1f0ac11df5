"""What the README promises a person with a fresh clone: `make up`, plain `pulumi`, `make down`,
`make up`, `make purge`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.clone import Clone

pytestmark = [pytest.mark.cluster, pytest.mark.package_index, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    clone = Clone(tmp_path_factory.mktemp("clone"))
    yield clone
    clone.works("python3", "-m", "dev", "purge", "--yes")


def test_make_up_ends_with_the_allocation_and_the_commands_that_show_it(clone: Clone) -> None:
    output = clone.works("make", "up")
    for expected in (
        "postgres",
        "database-local-path",
        "5Gi",
        "kafka",
        "3.3Gi",
        "3380Mi",
        "kubectl get pvc -n data",
        "kubectl get pv",
        "total",
    ):
        assert expected in output, output
    assert "Traceback" not in output


def test_plain_pulumi_and_kubectl_work_after_reading_dev_env(clone: Clone) -> None:
    assert clone.shell("kubectl get pvc -n data -o name").split() == [
        "persistentvolumeclaim/data-kafka-0",
        "persistentvolumeclaim/data-kafka-1",
        "persistentvolumeclaim/data-kafka-2",
        "persistentvolumeclaim/data-postgres-0",
    ]
    clone.shell("pulumi up --yes --expect-no-changes")
    clone.shell("pulumi preview --expect-no-changes")
    clone.shell("pulumi refresh --yes --expect-no-changes")
    assert "database-local-path" in clone.shell("pulumi stack output storageClasses")


def test_the_git_tree_stays_clean(clone: Clone) -> None:
    assert clone.git("status", "--porcelain") == ""


def test_nothing_of_the_users_own_kubeconfig_is_touched(clone: Clone) -> None:
    written = yaml.safe_load((clone.folder / ".dev" / "kubeconfig").read_text())
    assert [context["name"] for context in written["contexts"]] == ["storage-tiers-dev"]
    assert (clone.folder / ".dev" / "kubeconfig").stat().st_mode & 0o077 == 0


def test_up_twice_changes_nothing(clone: Clone) -> None:
    assert "unchanged" in clone.works("make", "up")


def test_down_stops_and_up_has_all_the_data(clone: Clone) -> None:
    before = clone.shell("kubectl get pvc -n data -o jsonpath='{.items[*].metadata.uid}'")
    clone.works("make", "down")
    assert clone.run("sh", "-c", ". .dev/env; kubectl get nodes --request-timeout=2s").returncode != 0
    clone.works("make", "down")  # twice is safe
    # Behind a proxy that leads nowhere: all of this is on the loopback.
    names = ("https_proxy", "http_proxy", "all_proxy")
    clone.works("make", "up", NO_PROXY=None, no_proxy=None, **dict.fromkeys([*names, *map(str.upper, names)], "http://127.0.0.1:9"))
    clone.shell("export https_proxy=http://127.0.0.1:9 http_proxy=http://127.0.0.1:9; unset no_proxy NO_PROXY; pulumi preview")
    assert clone.shell("kubectl get pvc -n data -o jsonpath='{.items[*].metadata.uid}'") == before


def test_a_wrong_setting_is_said_before_anything_starts(clone: Clone) -> None:
    stack_file = clone.folder / "Pulumi.dev.yaml"
    good = stack_file.read_text()
    stack_file.write_text(good.replace("3.3Gi", "3.3GB"))
    done = clone.run("make", "up")
    stack_file.write_text(good)
    assert done.returncode != 0
    assert "services.kafka.size" in done.stderr
    assert "Traceback" not in done.stderr


def test_destroy_retains_and_purge_needs_a_yes(clone: Clone) -> None:
    clone.works("make", "destroy")
    assert clone.run("make", "purge").returncode != 0, "nobody said yes"
    assert clone.shell("kubectl get nodes -o name").strip(), "a refused purge leaves the cluster alone"
