"""`make preview` on the real engine, in a clone: every committed stack, and real base and head
plans through git commits.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devkube import paths
from devkube.engine import Engine
from devkube.versions import LANGUAGE
from review.preview import committed_stacks
from tests.clone import Clone

pytestmark = pytest.mark.engine


class Preview:
    """A clone, and a person in it who has neither a kubeconfig nor credentials of anything."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.clone = Clone(folder / "clone", lend_environment=True)
        self.temporary = folder / "tmp"
        home = folder / "home"
        for made in (self.temporary, home):
            made.mkdir()
        plugins = Path.home() / ".pulumi"
        if any(part.path.is_relative_to(plugins) for part in engine.parts):  # official downloads: not again for each test
            (home / ".pulumi").symlink_to(plugins)
        self.variables = {"HOME": str(home), "XDG_CACHE_HOME": str(paths.cache().parent), "TMPDIR": str(self.temporary), "KUBECONFIG": None}

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.clone.run(self.clone.python, "-m", "dev", "preview", *options, **self.variables)

    def report(self, *options: str, status: int = 0) -> list[dict[str, Any]]:
        done = self.run("--json", *options)
        assert done.returncode == status, done.stdout + done.stderr
        report: list[dict[str, Any]] = json.loads(done.stdout)
        return report

    def edit(self, name: str, *changes: tuple[str, str]) -> None:
        file = self.clone.folder / name
        text = file.read_text()
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        file.write_text(text)

    def commit(self) -> None:
        self.clone.git("-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "--all", "--message", "change")

    def reset(self) -> None:
        self.clone.git("checkout", "--quiet", "first")
        self.clone.git("checkout", "--quiet", "-B", "main")

    def fingerprint(self) -> str:
        """Every byte of the work tree and of the repository, apart from what git ignores (and what
        it notes for itself).
        """
        digest = hashlib.sha256(self.clone.git("status", "--porcelain", "--untracked-files=all").encode())
        for name in self.clone.git("ls-files", "-z").split("\0")[:-1]:
            digest.update((self.clone.folder / name).read_bytes())
        digest.update(self.clone.git("count-objects", "-v").encode() + self.clone.git("for-each-ref").encode())
        return digest.hexdigest()


@pytest.fixture(scope="module")
def made(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Preview:
    preview = Preview(tmp_path_factory.mktemp("preview"), engine)
    preview.clone.git("tag", "first")
    return preview


@pytest.fixture
def preview(made: Preview) -> Iterator[Preview]:
    """The clone as it was committed.

    No test leaves anything behind in it, or in the folder for temporary files.
    """
    yield made
    assert not list(made.temporary.iterdir())
    made.clone.git("reset", "--quiet", "--hard")
    made.reset()


def changes(report: dict[str, Any]) -> set[tuple[str, str]]:
    return {(change["action"], f"{change['kind']} {change['name']}") for change in report["changes"]}


def test_every_committed_stack_without_kubeconfig_and_credentials(preview: Preview) -> None:
    before = preview.fingerprint()
    reports = preview.report("--all")
    assert [report["stack"] for report in reports] == committed_stacks()
    for report in reports:
        assert report["ok"] and not report["violations"] and report["changes"] is None
    assert preview.fingerprint() == before


def test_what_a_person_sees(preview: Preview) -> None:
    done = preview.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kubernetes:core/v1:PersistentVolumeClaim data-kafka-2 create" in done.stdout
    assert "✅ storage-tiers@v1.0.0" in done.stdout
    assert "Stack dev: 15 objects, 0 violations of policies" in done.stdout
    assert done.stdout.rstrip().endswith(
        "Next: `make preview STACK=dev BASE=origin/main` says what a merge would change. Nothing was touched."
    )


def test_a_harmless_change_against_the_base(preview: Preview) -> None:
    """A broker more, another class parameter, and the namespace handed over: it is then only read,
    for which there is no cluster.
    """
    preview.edit("Pulumi.dev.yaml", ("replicas: 3", "replicas: 4"), ("    database: {}", "    database:\n      nodePath: /srv/volumes"))
    preview.edit("Pulumi.dev.yaml", ("create: true", "create: false"))
    preview.commit()
    before = preview.fingerprint()
    [report] = preview.report("--base", "HEAD~1")
    assert changes(report) == {
        ("create", "PersistentVolumeClaim data/data-kafka-3"),
        ("change", "ResourceQuota data/streaming-local-path"),
        ("replace", "StorageClass database-local-path"),
        ("replace", "Command canary-database"),
        ("release", "Namespace data"),
        ("change", "Command destroy-guard"),
    }
    assert not report["problems"] and report["base"] == "HEAD~1" and not report["new"]
    assert preview.fingerprint() == before


def test_a_change_that_loses_data_fails_and_says_so_to_people_and_in_markdown(preview: Preview) -> None:
    preview.edit("Pulumi.dev.yaml", ("replicas: 3", "replicas: 2"), ("tier: database", "tier: streaming"), ("size: 5Gi", "size: 4Gi"))
    file = preview.temporary.parent / "report.md"  # not committed: the work tree as it is counts
    done = preview.run("--base", "first", "--markdown", str(file))
    assert done.returncode == 1
    lost = "PersistentVolumeClaim data/data-kafka-2: would be deleted"
    replaced = (
        "PersistentVolumeClaim data/data-postgres-0: would be replaced (spec.storageClassName database-local-path -> streaming-local-path)"
    )
    for said in (done.stdout, file.read_text()):
        assert "Not to be merged as it is:" in said and lost in said and replaced in said
    assert "### ❌ Stack dev: 2 changed, 1 replaced, 1 deleted, against `first`" in file.read_text()


def test_a_stack_that_the_base_does_not_have_is_new(preview: Preview) -> None:
    shutil.copy(preview.clone.folder / "Pulumi.dev.yaml", preview.clone.folder / "Pulumi.mine.yaml")
    try:
        [report] = preview.report("--stack", "mine", "--base", "first")
    finally:
        (preview.clone.folder / "Pulumi.mine.yaml").unlink()
    assert report["new"] and {action for action, _ in changes(report)} == {"create"}


def test_a_broken_rule_of_the_policy_pack_fails_it(preview: Preview) -> None:
    preview.edit("components/storage_tier.py", ('"Retain"', '"Delete"'))
    [report] = preview.report(status=1)
    rule = 'reclaim-policy-retain: StorageClass database-local-path: reclaimPolicy: "Delete": data outlives its claim. Works: Retain'
    assert rule in report["violations"]


def test_wrong_settings_fail_it_with_their_own_words(preview: Preview) -> None:
    preview.edit("Pulumi.dev.yaml", ("size: 5Gi", "size: 5GB"))
    [report] = preview.report(status=1)
    assert 'services.postgres.size: "5GB"' in report["failure"] and "Works: 5Gi" in report["failure"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--base", "no-such-branch"], "error: there is no git revision 'no-such-branch' in this clone.\nGet it first"),
        (["--base", "--upload-pack=x"], "error: there is no git revision '--upload-pack=x' in this clone."),
        (["--stack", "nowhere"], "error: stack 'nowhere': there is no Pulumi.nowhere.yaml in the project folder."),
    ],
)
def test_what_is_not_there_is_named(preview: Preview, options: list[str], message: str) -> None:
    done = preview.run(*options)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr


def test_a_base_that_cannot_be_planned_is_named(preview: Preview) -> None:
    preview.edit("Pulumi.dev.yaml", ("size: 5Gi", "size: 5GB"))
    preview.commit()
    preview.edit("Pulumi.dev.yaml", ("size: 5GB", "size: 5Gi"))
    done = preview.run("--base", "HEAD")
    assert done.returncode == 1 and "error: stack dev of HEAD (" in done.stderr and 'services.postgres.size: "5GB"' in done.stderr


def test_the_other_stacks_have_their_report_when_the_base_of_one_cannot_be_planned(preview: Preview) -> None:
    preview.edit("Pulumi.aws.yaml", ("identifier:", "identifiers:"))
    preview.commit()
    preview.edit("Pulumi.aws.yaml", ("identifiers:", "identifier:"))
    file = preview.temporary.parent / "report.md"
    assert preview.run("--stack", "aws", "--stack", "dev", "--base", "HEAD", "--markdown", str(file)).returncode == 1
    rows = [line for line in file.read_text().splitlines() if line.startswith("| `")]
    assert rows == ["| `aws` | ❌ failed |  |", "| `dev` | ✅ good | nothing would change |"]


def test_ctrl_c_leaves_nothing_behind(preview: Preview, engine: Engine) -> None:
    """With the official language host the program may end with a KeyboardInterrupt."""
    process = preview.clone.start(preview.clone.python, "-m", "dev", "preview", **preview.variables)
    end = time.monotonic() + 60
    while not list(preview.temporary.glob("*/head-dev/events.json")):
        assert process.poll() is None and time.monotonic() < end, "the preview doesn't begin"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: every process of the group gets it
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "Interrupted." in said
    assert "Traceback" not in said or not engine.is_stand_in(LANGUAGE)
