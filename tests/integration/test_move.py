"""`python -m ops move` on the throw-away cluster: from the dev stack to another stack with another
class and namespace, and what keeps it from being done, cuts it or falsifies it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from kubernetes import client

from devkube import paths
from devkube.cluster import Access
from ops.move.pods import RIGHTS
from tests import kubeconfig
from tests.conftest import eventually
from tests.faults.move_tree import show
from tests.integration.move_stacks import CLAIM, LEVEL, MIB, SOURCE, TARGET, Stacks, StatefulSets, flip, wait_for_phase

pytestmark = pytest.mark.cluster


PAGE = (paths.ROOT / "docs/migrate.md").read_text(encoding="utf-8")


def test_the_walk_that_the_page_shows(stacks: Stacks, api: client.ApiClient, access: Access) -> None:
    """Stopped, planned, moved, verified, started with the commands of docs/migrate.md, and with
    those that they print; a flipped bit is named.
    """
    (stop,) = re.findall(r"^ *\$ (kubectl .* scale statefulset postgres --replicas=0)$", PAGE, re.MULTILINE)
    plan, move, verify = re.findall(r"^ *\$ (python -m ops move --from dev --to aws(?!.*--live).*)$", PAGE, re.MULTILINE)
    sets = StatefulSets(client.AppsV1Api(api), stacks.core, stacks.busybox)
    sets.make(SOURCE, replicas=1)
    sets.make(TARGET, replicas=0)
    try:
        sets.wait_for(SOURCE, 1)
        refused = stacks.move("--plan")
        assert refused.returncode == 1
        (command,) = re.findall(r"Stop it first: `(.*)`", refused.stderr)
        assert command == stop.replace("storage-tiers-dev", access.context)
        stacks.shell(command)
        sets.wait_for(SOURCE, 0)
        before = show(stacks.source)
        planned = stacks.shell(plan)
        assert "Nothing was moved. Without --plan it is." in planned
        assert f"{SOURCE}/{CLAIM}" in planned and f"{TARGET}/{CLAIM}" in planned
        assert list(stacks.target.iterdir()) == []
        said = stacks.shell(move)
        assert "proven" in said
        assert show(stacks.target) == before == show(stacks.source)
        assert (stacks.target / "pgdata/sparse").stat().st_blocks * 512 < 100 * MIB, "holes are kept"
        assert "Nothing was moved: all of it was before." in stacks.shell(plan)
        again = stacks.move("--json")
        assert again.returncode == 0, again.stderr
        verdict = json.loads(again.stdout)[0]
        assert (verdict["verdict"], verdict["done"]) == ("proven", "before")
        assert "Everything is as it was moved." in stacks.shell(verify)
        flip(stacks.target / "pgdata/large-3", 7 * MIB)
        done = stacks.move("--verify")
        assert done.returncode == 1
        assert "is no longer what was moved" in done.stderr
        assert "pgdata/large-3: its contents are others" in done.stderr
        (start,) = re.findall(r"^ *(kubectl .* scale statefulset postgres --replicas=1)$", said, re.MULTILINE)
        assert f"-n {TARGET} " in start
        stacks.shell(start)
        sets.wait_for(TARGET, 1)
        assert "Nothing was moved: all of it was before." in stacks.shell(plan), "a service runs on it"
    finally:
        sets.remove()


def test_what_keeps_a_move_from_beginning(stacks: Stacks) -> None:
    users = stacks.users(SOURCE)
    users.start([CLAIM])
    try:
        done = stacks.move()
    finally:
        users.stop()
    assert done.returncode == 1
    assert "claim data-postgres-0 of stack dev is used by pod postgres-0. Stop it first: `kubectl " in done.stderr
    (stacks.target / "stranger").write_text("mine")
    done = stacks.move()
    assert done.returncode == 1
    assert "isn't empty" in done.stderr
    assert (stacks.target / "stranger").read_text() == "mine"
    (stacks.target / "stranger").unlink()
    stacks.core.patch_namespace(TARGET, {"metadata": {"labels": {LEVEL: "restricted"}}})
    done = stacks.move()
    stacks.core.patch_namespace(TARGET, {"metadata": {"labels": {LEVEL: "baseline"}}})
    assert done.returncode == 1
    assert f"label namespace {TARGET} {LEVEL}=baseline --overwrite" in done.stderr
    assert list(stacks.target.iterdir()) == []


def test_who_has_the_rights_that_are_named_and_no_others_can_move(
    stacks: Stacks, access: Access, api: client.ApiClient, tmp_path: Path
) -> None:
    name = "mover"
    rights = client.RbacAuthorizationV1Api(api)
    token = kubeconfig.service_account(stacks.core, name)
    file = kubeconfig.write(access, tmp_path / "kubeconfig", access.context, token=token)
    theirs = dataclasses.replace(
        stacks, program=dataclasses.replace(stacks.program, variables={**stacks.program.variables, "KUBECONFIG": str(file)})
    )

    def give(namespace: str, given: Sequence[tuple[str, str, str]]) -> None:
        rules = [{"verbs": [verb], "resources": [resource], "apiGroups": [group]} for verb, resource, group in given]
        rights.create_namespaced_role(namespace, {"metadata": {"name": name}, "rules": rules})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        rights.create_namespaced_role_binding(namespace, {"metadata": {"name": name}, "subjects": [subject], "roleRef": role})

    try:
        give(SOURCE, RIGHTS)
        give(TARGET, RIGHTS[:1])
        done = theirs.move("--plan", "--json")
        assert done.returncode == 1
        (problem,) = json.loads(done.stdout)["problems"]
        where = f"context {access.context!r} lacks rights in namespace {TARGET} that a move takes"
        assert problem == f"{where}: {', '.join(f'{verb} {resource}' for verb, resource, _ in RIGHTS[1:])}"
        rights.delete_namespaced_role(name, TARGET)
        rights.delete_namespaced_role_binding(name, TARGET)
        give(TARGET, RIGHTS)
        done = theirs.move()
        assert done.returncode == 0, done.stdout + done.stderr
        assert show(stacks.target) == show(stacks.source)
    finally:
        for namespace in (SOURCE, TARGET):
            rights.delete_collection_namespaced_role_binding(namespace, field_selector=f"metadata.name={name}")
            rights.delete_collection_namespaced_role(namespace, field_selector=f"metadata.name={name}")
        stacks.core.delete_namespaced_service_account(name, "default")


SEEDS = [("driver", 1), ("target", 3)]
MORE = [(who, seed) for who in ("driver", "source", "target", "read-back") for seed in range(10, 18)]


@pytest.mark.parametrize(("who", "seed"), [*SEEDS, *(pytest.param(*each, marks=pytest.mark.soak) for each in MORE)])
def test_a_move_that_is_killed_goes_on_and_ends_equal(stacks: Stacks, who: str, seed: int) -> None:
    process = stacks.begin()
    try:
        wait_for_phase(process, "reading back" if who == "read-back" else "copying")
        time.sleep(random.Random(seed).uniform(0, 2))
        if who == "driver":
            process.kill()
        else:
            for pod in stacks.pods():
                if pod.metadata.name.endswith(f"-{who}"):
                    stacks.core.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace, grace_period_seconds=0)
        said = process.communicate(timeout=120)
    finally:
        process.kill()
    if who != "driver" and process.returncode:
        reason = json.loads(said[0])[0]["reason"]
        assert f"-{who} " in f"{reason} " or "goes on where this stopped" in said[1], said
    done = stacks.move()
    assert done.returncode == 0, done.stdout + done.stderr
    assert show(stacks.target) == show(stacks.source)


def test_ctrl_c_removes_what_was_made_and_the_move_goes_on(stacks: Stacks) -> None:
    process = stacks.begin()
    try:
        wait_for_phase(process, "copying")
        os.killpg(process.pid, 2)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "Traceback" not in said
    eventually(lambda: not stacks.pods(), "its pods are gone", 30)
    assert stacks.move().returncode == 0
    assert show(stacks.target) == show(stacks.source)


def test_a_source_that_changes_is_named(stacks: Stacks) -> None:
    process = stacks.begin()
    try:
        wait_for_phase(process, "copying")
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            with (stacks.source / "pgdata/large-5").open("ab") as file:
                file.write(b"x")
            time.sleep(0.05)
        stdout, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1, stdout
    assert "pgdata/large-5" in said


@pytest.mark.soak
def test_to_a_folder_and_back(stacks: Stacks, tmp_path: Path) -> None:
    before = show(stacks.source)
    backup = tmp_path / "backup"
    service = ("--service", "postgres")
    found = re.findall(r"^\$ sudo -E \.venv/bin/(python -m ops move .*)$", PAGE, re.MULTILINE)
    away, restore = (line.replace("/backup", str(backup)) for line in found)  # the tests are root already
    stacks.shell(away)
    assert show(backup / CLAIM) == before
    assert (backup / f"{CLAIM}.manifest.jsonl").exists()
    back = ("move", "--from-folder", str(backup), "--to", "aws", *service)
    (backup / f"{CLAIM}.manifest.jsonl").rename(tmp_path / "kept")
    done = stacks.program.ops(*back, "--plan")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"nothing says that folder {backup / CLAIM} is whole" in " ".join(done.stderr.split())
    (tmp_path / "kept").rename(backup / f"{CLAIM}.manifest.jsonl")
    assert "proven" in stacks.shell(restore)
    assert show(stacks.target) == before
    done = stacks.program.ops("move", "--from", "dev", "--to-folder", str(backup), *service, "--verify")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_old_stack_goes_once_all_is_proven(stacks: Stacks, api: client.ApiClient, access: Access) -> None:
    """By the page's commands, and not before. The last one of this file: its stack is gone then."""
    destroy, prune = re.findall(r"^ *\$ ((?:pulumi destroy|python -m ops volumes prune) --stack dev)$", PAGE, re.MULTILINE)
    (verify,) = re.findall(r"^ *\$ (python -m ops move --from dev --to aws --verify)$", PAGE, re.MULTILINE)
    (first,) = re.findall(r"^ *\$ (kubectl .* delete statefulset .*)$", PAGE, re.MULTILINE)
    sets = StatefulSets(client.AppsV1Api(api), stacks.core, stacks.busybox)
    sets.make(SOURCE, replicas=0)
    before = show(stacks.source)
    volume = stacks.core.read_namespaced_persistent_volume_claim(CLAIM, SOURCE).spec.volume_name
    process = stacks.begin()
    wait_for_phase(process, "copying")
    os.killpg(process.pid, 2)
    process.communicate(timeout=60)
    eventually(lambda: not stacks.pods(), "nothing of it is in the cluster", 60)
    refused = stacks.program.run("destroy", "--yes", "--skip-preview", "--stack", "dev")
    assert refused.returncode != 0, refused.stdout
    said = refused.stdout + refused.stderr
    assert "What is moved out of stack dev isn't proven yet" in said
    commands = set(re.findall(rf"{CLAIM}: `(.*?)`", said))
    assert commands == {"python -m ops move --from dev --to aws --service postgres --ordinal 0"}
    done = stacks.shell(commands.pop())
    delete, *said_too = (line.strip() for line in done.splitlines()[-3:])
    assert said_too == [destroy, prune]
    shown = first.replace("storage-tiers-dev", access.context).replace("postgres kafka", "postgres")  # this stack's services
    assert delete == shown
    stacks.shell(delete)
    eventually(lambda: not sets.apps.list_namespaced_stateful_set(SOURCE).items, "it is gone", 30)
    stacks.shell(f"{destroy} --yes --skip-preview")
    assert "Everything is as it was moved." in stacks.shell(verify), "its source isn't needed"
    assert volume in stacks.shell(prune)
    assert show(stacks.source) == before, "it was listed alone"
    stacks.shell(f"{prune} {volume} --yes")
    assert not stacks.source.exists()
    assert show(stacks.target) == before
