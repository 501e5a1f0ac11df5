"""Which claims are moved, what keeps a move from beginning, what is kept of it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest

from components.canary import objects
from components.canary.pods import ProbePod
from components.kube.api import KubeApi
from components.kube.errors import ApiError
from components.settings import load
from ops.errors import UserError
from ops.move import claims, keeper, planning, pods, sizes
from ops.move.changes import Changes
from ops.move.claims import ClaimSide
from ops.move.ends import ClaimEnd, FolderEnd
from ops.move.kept import KeptMove, move_id, read
from ops.move.planning import StackAndApi
from ops.move.run import VolumeMove
from ops.settings import load_settings
from tests.unit.mocked_program import dev_config

DEV = load_settings("dev")
MIB = 2**20


def claim(name: str = "data-postgres-0", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "data", "uid": f"uid-of-{name}"},
        "spec": {"storageClassName": "database-local-path", "resources": {"requests": {"storage": "5Gi"}}},
        "status": {"phase": "Bound", "capacity": {"storage": "6Gi"}, **status},
    }


class Cluster:
    """Answers with objects; a mock of KubeApi."""

    context = "storage-tiers-dev"

    def __init__(self, found: dict[str, Any]) -> None:
        self.found = found
        self.asked: list[tuple[str, Any]] = []
        self.denied: set[str] = set()
        self.refusal: ApiError | None = None

    def items(self, path: str) -> list[Any]:
        return cast(list[Any], self.found.get(path.rpartition("/")[2], []))

    def find(self, path: str) -> Any:
        return self.found.get(path.rpartition("/")[2])

    def of_context(self, context: str) -> Cluster:
        assert context == self.context
        return self

    def create(self, path: str, body: dict[str, Any]) -> Any:
        self.asked.append((path, body))
        if self.refusal and "pods?dryRun=All" in path:
            raise self.refusal
        asked = body.get("spec", {}).get("resourceAttributes") or {}
        what = f"{asked.get('verb')} {asked.get('resource')}{'/' + asked['subresource'] if 'subresource' in asked else ''}"
        return {"status": {"allowed": what not in self.denied}}


def side(cluster: Cluster, found: dict[str, Any] | None = None) -> ClaimSide:
    return ClaimSide(cast(KubeApi, cluster), DEV, "postgres", 0, found or claim())


def pod(name: str, phase: str = "Running", **labels: str) -> dict[str, Any]:
    volumes = [{"name": "x", "persistentVolumeClaim": {"claimName": "data-postgres-0"}}, {"name": "y", "emptyDir": {}}]
    return {"metadata": {"name": name, "labels": labels}, "spec": {"volumes": volumes}, "status": {"phase": phase}}


def stateful_set(replicas: int | None = None, **spec: Any) -> dict[str, Any]:
    template: dict[str, Any] = {"spec": {}}
    found = {"template": template, "volumeClaimTemplates": [{"metadata": {"name": "data"}}], **spec}
    return {"metadata": {"name": "postgres"}, "spec": {**found, **({} if replicas is None else {"replicas": replicas})}}


def test_all_claims_of_a_stack_of_a_service_or_one() -> None:
    assert claims.wanted(DEV, None, None, "--from") == [("postgres", 0), ("kafka", 0), ("kafka", 1), ("kafka", 2)]
    assert claims.wanted(DEV, "kafka", None, "--from") == [("kafka", 0), ("kafka", 1), ("kafka", 2)]
    assert claims.wanted(DEV, "kafka", 1, "--from") == [("kafka", 1)]


@pytest.mark.parametrize(
    ("service", "ordinal", "says"),
    [
        ("mysql", None, "--service mysql: stack dev .* has no such service"),
        (None, 1, "--ordinal 1: of which service"),
        ("kafka", 3, "--ordinal 3: service kafka of stack dev .* has 3 replicas"),
    ],
)
def test_what_there_is_not_is_refused(service: str | None, ordinal: int | None, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        claims.wanted(DEV, service, ordinal, "--from")
    assert caught.value.hint


def test_missing_claims_are_all_named() -> None:
    cluster = Cluster({"data-kafka-1": claim("data-kafka-1")})
    with pytest.raises(UserError, match=r"data-kafka-0 \(not there\), data-kafka-2 \(not there\)") as caught:
        claims.find(cast(KubeApi, cluster), DEV, claims.wanted(DEV, "kafka", None, "--from"))
    assert caught.value.hint == "`pulumi up --stack dev` makes them."


def test_a_claim_is_not_moved_onto_itself() -> None:
    one = side(Cluster({}))
    with pytest.raises(UserError, match="source and target at once"):
        claims.pairs([one], [one])


@pytest.mark.parametrize(
    ("found", "users"),
    [
        ({"pods": [pod("x"), pod("y", "Pending")]}, ["pod x", "pod y"]),
        ({"pods": [pod("x", "Succeeded"), pod("y", "Failed")]}, []),
        ({"pods": [pod("m", **pods.move_labels("dev", "m", "r"))]}, []),
        ({"pods": [pod("o", **pods.move_labels("dev", "other", "r"))]}, ["pod o"]),
        ({"statefulsets": [stateful_set()]}, ["StatefulSet postgres"]),
        ({"statefulsets": [stateful_set(0)]}, []),
        ({"statefulsets": [stateful_set(1, ordinals={"start": 1})]}, []),
        ({"statefulsets": [stateful_set(1, volumeClaimTemplates=None, template=pod("x"))]}, ["StatefulSet postgres"]),
    ],
)
def test_who_uses_a_claim(found: dict[str, Any], users: list[str]) -> None:
    assert claims.users_of(side(Cluster(found)), move="m") == users


def test_another_move_uses_a_claim_as_well_unless_both_read() -> None:
    for role, writes in (("source", False), ("target", True)):
        other = pods.manifest(DEV, "0123456789ab", role, "data-postgres-0", writes=writes)
        cluster = Cluster({"pods": [{**other, "status": {"phase": "Running"}}]})
        name = [f"pod move-0123456789ab-{role}"]
        assert claims.users_of(side(cluster), writes=True, move="ba9876543210") == name
        assert claims.users_of(side(cluster), writes=False, move="ba9876543210") == (name if writes else [])
        assert claims.users_of(side(cluster), writes=True, move="0123456789ab") == []


def test_the_same_move_on_another_machine_is_another_user() -> None:
    other = pods.manifest(DEV, "m", "target", "data-postgres-0", writes=True, run="theirs")
    cluster = Cluster({"pods": [{**other, "status": {"phase": "Running"}}]})
    assert claims.users_of(side(cluster), move="m") == [], "it is swept before a run begins"
    assert claims.users_of(side(cluster), move="m", run="theirs") == []
    assert claims.users_of(side(cluster), move="m", run="ours") == ["pod move-m-target"]


def test_a_pod_of_another_run_is_not_taken_for_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = pods.manifest(DEV, "m", "target", "data-postgres-0", writes=True, run="theirs")
    monkeypatch.setattr(objects, "create", lambda *_: theirs)
    with pytest.raises(UserError, match=r"another machine runs this move right now: data/move-m-target"):
        pods.MovePod.start(cast(KubeApi, Cluster({})), DEV, "m", "target", claim(), writes=True, run="ours")


def test_a_run_that_fails_removes_its_own_pods_alone() -> None:
    assert pods.selector("m", "ours") == f"{pods.selector('m')},storage-tiers/move-run=ours"


def test_a_claim_that_comes_into_use_or_is_made_anew_in_mid_move_is_seen() -> None:
    cluster = Cluster({"data-postgres-0": claim()})
    end = ClaimEnd(side(cluster), threading.Event())
    end.check("m", writes=True)
    cluster.found["pods"] = [pod("late")]
    with pytest.raises(UserError, match="came into use while it was moved: by pod late"):
        end.check("m", writes=False)
    cluster.found["pods"] = []
    cluster.found["data-postgres-0"]["metadata"]["uid"] = "another"
    side_before = ClaimEnd(side(cluster, claim()), threading.Event())
    with pytest.raises(UserError, match="removed or made anew"):
        side_before.check("m", writes=True)


def test_what_keeps_a_move_from_beginning_is_said_with_a_command() -> None:
    used = list(claims.refusals(side(Cluster({"statefulsets": [stateful_set(1)]})), writes=True))
    assert used[0].endswith("`kubectl --context storage-tiers-dev -n data scale statefulset postgres --replicas=0`")
    pending = claim(phase="Pending")
    assert "has no volume" in next(claims.refusals(side(Cluster({}), pending), writes=False))
    assert not list(claims.refusals(side(Cluster({}), pending), writes=True)), "a pod of the move binds it"
    block = claim()
    block["spec"]["volumeMode"] = "Block"
    assert "block volume" in next(claims.refusals(side(Cluster({}), block), writes=True))


@pytest.mark.parametrize(
    ("kind", "name", "command"),
    [
        ("ReplicaSet", "web-5d4f", "scale deployment web --replicas=0`"),
        ("ReplicaSet", "alone", "scale replicaset alone --replicas=0`"),
        ("Job", "load", "delete job load`"),
        ("Cluster", "pg", ""),  # to delete an operator's object may delete its claims
    ],
)
def test_what_makes_a_pod_anew_is_what_is_stopped(kind: str, name: str, command: str) -> None:
    user = pod("x", **{"pod-template-hash": "5d4f"})
    user["metadata"]["ownerReferences"] = [{"kind": kind, "name": name, "controller": True}]
    said = next(claims.refusals(side(Cluster({"pods": [user]})), writes=False))
    end = f"Stop it first: `kubectl --context storage-tiers-dev -n data {command}" if command else "of Cluster pg. Stop it first there."
    assert said.endswith(end), said


def several(cluster: Cluster) -> tuple[planning.Sides, list[VolumeMove]]:
    """Two volumes of one namespace."""
    both = [ClaimSide(cast(KubeApi, cluster), DEV, "kafka", number, claim(f"data-kafka-{number}")) for number in (0, 1)]
    stop = threading.Event()
    moves = [VolumeMove(each.name, ClaimEnd(each, stop), FolderEnd(Path("/backup") / each.name), stop) for each in both]
    return [(each, None) for each in both], moves


def test_where_sizes_are_enforced_another_size_gives_room_and_elsewhere_the_disk() -> None:
    stop = threading.Event()
    made = ClaimEnd(side(Cluster({})), stop)
    assert made.more_room == "Sizes aren't enforced there: make room on the disk that volumes of class database-local-path are on."
    cloud = ClaimSide(cast(KubeApi, Cluster({})), load_settings("aws"), "postgres", 0, claim())
    assert ClaimEnd(cloud, stop).more_room == "Make it larger: `services.postgres.size` in Pulumi.aws.yaml, then `pulumi up --stack aws`."


def test_missing_rights_are_said_once_for_all_volumes(kept: KeptMove) -> None:
    """Who lacks the right to list StatefulSets isn't asked for them: the API's word is no list."""
    cluster = Cluster({})
    cluster.denied = {"create pods", "list statefulsets"}
    cluster.refusal = ApiError("the API answered 403", 403, "pods is forbidden")
    sides, moves = several(cluster)
    found = planning.problems(sides, moves, verify=False)
    assert sorted(found) == sorted(each.id for each in moves)
    assert planning.each_once(found) == [
        "context 'storage-tiers-dev' lacks rights in namespace data that a move takes: create pods, list statefulsets"
    ]


def test_what_is_in_the_way_of_one_volume_is_no_problem_of_another(kept: KeptMove) -> None:
    user = pod("x")
    user["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = "data-kafka-1"
    sides, moves = several(Cluster({"pods": [user]}))
    found = planning.problems(sides, moves, verify=False)
    assert list(found) == [moves[1].id]
    assert "is used by pod x" in found[moves[1].id][0]
    row = planning.unplanned(moves[1])
    assert (row["source"]["claim"], row["usedBytes"], row["seconds"]) == ("data-kafka-1", None, None)


def test_missing_rights_are_listed() -> None:
    cluster = Cluster({})
    cluster.denied = {"create pods/exec", "list statefulsets"}
    assert pods.missing_rights(cast(KubeApi, cluster), "data") == ["create pods/exec", "list statefulsets"]


def test_a_namespace_that_admits_no_such_pod_is_told_with_the_label_that_it_needs() -> None:
    cluster = Cluster({})
    said = 'pods "x" is forbidden: violates PodSecurity "restricted:latest": unrestricted capabilities'
    cluster.refusal = ApiError("the API answered 403", 403, said)
    with pytest.raises(UserError, match="namespace data admits no pod of a move") as caught:
        pods.try_out(cast(KubeApi, cluster), DEV, "m", "source", "data-postgres-0", writes=False)
    assert "label namespace data pod-security.kubernetes.io/enforce=baseline --overwrite" in caught.value.hint


def test_the_pods_have_no_more_than_they_use() -> None:
    source, target = (pods.manifest(DEV, "m", role, "data-postgres-0", writes=role == "target") for role in ("source", "target"))
    (reading,), (writing,) = source["spec"]["containers"], target["spec"]["containers"]
    assert reading["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]}
    assert writing["securityContext"]["capabilities"]["add"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"]
    assert [each["readOnly"] for each in reading["volumeMounts"]] == [True, True]
    assert "fsGroup" not in source["spec"]["securityContext"]
    assert source["spec"]["automountServiceAccountToken"] is False
    assert source["metadata"]["labels"]["app.kubernetes.io/instance"] == "dev"


def test_what_the_cluster_asks_of_the_canarys_pods_it_gets_from_those_of_a_move() -> None:
    asked = {
        "labels": {"sidecar.istio.io/inject": "false"},
        "annotations": {"team": "storage"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "nodeSelector": {"example.com/pool": "storage"},
        "imagePullSecrets": [{"name": "registry"}],
        "priorityClassName": "storage",
        "serviceAccountName": "storage",
        "resources": {"requests": {"cpu": "500m"}},
    }
    settings = load(dev_config(canary={"image": "python:3.11-slim", "pod": asked}), "dev")
    made = pods.manifest(settings, "m", "source", "data-postgres-0", writes=False)
    for key in ("tolerations", "imagePullSecrets", "priorityClassName", "serviceAccountName"):
        assert made["spec"][key] == asked[key]
    assert made["spec"]["nodeSelector"] == {"example.com/pool": "storage", "kubernetes.io/os": "linux"}
    assert made["spec"]["containers"][0]["resources"] == asked["resources"]
    assert made["metadata"]["annotations"] == asked["annotations"]
    assert made["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"


def usage(**changes: int | str) -> dict[str, Any]:
    return {"usedBytes": 100 * MIB, "freeBytes": 1000 * MIB, "inodes": 10, "freeInodes": 100, "move": "", **changes}


def test_what_does_not_fit_is_said_before_anything_is_copied() -> None:
    assert sizes.too_small(usage(), usage(usedBytes=0)) == ""
    assert "too small: the source uses 100.0 MiB" in sizes.too_small(usage(), usage(usedBytes=0, freeBytes=110 * MIB))
    assert sizes.too_small(usage(), usage(usedBytes=90 * MIB, freeBytes=30 * MIB, move="m")) == "", "a part is there already"
    assert "too few inodes" in sizes.too_small(usage(inodes=1000), usage())
    assert sizes.too_small(usage(), usage(freeInodes=0)) == "", "some file systems have no such number"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeptMove:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return KeptMove(move_id("a", "b"))


def test_a_move_is_found_again_by_its_ends(kept: KeptMove, tmp_path: Path) -> None:
    assert move_id("a", "b") == kept.folder.name != move_id("b", "a")
    assert kept.verdict is None
    kept.save(state="begun")
    assert kept.verdict is None
    kept.save(state="proven", verdict={"bytes": 1})
    assert KeptMove(kept.folder.name).verdict == {"bytes": 1}
    assert kept.folder.stat().st_mode & 0o777 == 0o700
    assert kept.folder.parent.parent == tmp_path / "state/storage-tiers"


def test_a_second_run_of_the_same_move_waits_for_nobody(kept: KeptMove) -> None:
    with kept.alone(), pytest.raises(UserError, match="under way already"), KeptMove(kept.folder.name).alone():
        pass


def test_the_manifest_of_a_cut_run_is_completed_by_the_next_one(kept: KeptMove) -> None:
    first = {"path": "a", "kind": "file", "size": 1, "mtimeNs": 5, "hash": "x"}
    with pytest.raises(RuntimeError), kept.growing() as fresh:
        fresh += [first, {"path": "b", "kind": "file", "size": 1, "mtimeNs": 5, "hash": "old"}]
        raise RuntimeError
    with (kept.folder / "source.jsonl.part").open("a") as file:
        file.write('{"path": "c", "ki')  # as a kill leaves it
    without = {"path": "a", "kind": "file", "size": 1, "mtimeNs": 5}
    changed = {"path": "b", "kind": "file", "size": 1, "mtimeNs": 6}
    assert kept.complete([without, changed]) == [first, changed]
    assert read(kept.manifest) == [first, changed]


def test_a_folder_that_is_not_there_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0, raising=False)
    target = StackAndApi(cast(KubeApi, Cluster({})), DEV)
    with pytest.raises(UserError, match=f"^--from-folder: there is no folder {tmp_path / 'gone'}"):
        planning.moves(None, target, tmp_path / "gone", None, service=None, ordinal=None, stop=threading.Event())


def test_a_source_that_is_not_what_it_was_is_told_by_its_paths() -> None:
    old = {"path": "a", "kind": "file", "size": 1, "mtimeNs": 5, "ctimeNs": 6, "hash": "x"}
    folder = {"path": ".", "kind": "directory", "size": 4096, "mtimeNs": 1}

    def told(*now: dict[str, Any]) -> list[str]:
        changes = Changes([folder, old])
        for each in now:
            changes.hear(each)
        return changes.found()

    assert told({**folder, "size": 8192}, {key: value for key, value in old.items() if key != "hash"}) == []
    assert told(folder, {**old, "ctimeNs": 7}) == ["a: another ctimeNs than before"]
    assert told(folder, {**old, "path": "b"}) == ["a is gone", "b is new"]


def test_a_pod_that_ended_idle_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source's, while the target was read back; a pod that failed, or is gone, isn't."""
    cluster = Cluster({})
    started: list[pods.MovePod] = []
    runs: set[str] = set()
    ran: list[tuple[pods.MovePod, str]] = []

    def start(_api: KubeApi, settings: Any, *asked: object, run: str, writes: bool) -> pods.MovePod:
        assert (asked, writes) == (("a-move", "source", claim()), False)
        runs.add(run)
        uid = f"pod {len(started)}"
        cluster.found["made"] = {"metadata": {"uid": uid}, "status": {"phase": "Running"}}
        probe = ProbePod(cast(KubeApi, cluster), "data", "made", uid, 0)
        started.append(pods.MovePod(cast(KubeApi, cluster), settings, probe, "source", "data-postgres-0"))
        return started[-1]

    monkeypatch.setattr(pods.MovePod, "start", start)
    monkeypatch.setattr(pods.MovePod, "run", lambda pod, mode: ran.append((pod, mode)))
    monkeypatch.setattr(pods.MovePod, "remove", lambda pod: cluster.found.clear())
    end = ClaimEnd(side(cluster), threading.Event())
    end.open("a-move", "source", writes=False)
    for phase, number in (("Running", 0), ("Failed", 0), ("Succeeded", 1), ("Running", 1)):
        cluster.found["made"]["status"]["phase"] = phase
        end.run("look")
        assert ran[-1] == (started[number], "look") and len(started) == number + 1, phase
    assert len(runs) == 1, "it is this run's as before"


def test_the_keeper_stays_while_something_runs_and_ends_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "LOOK", 0.05)
    answers = [True, True, True]
    monkeypatch.setattr(keeper, "others", lambda: bool(answers) and answers.pop())
    began = time.monotonic()
    assert keeper.main(0.2) == 0
    assert time.monotonic() - began > 0.3


def test_the_keeper_ends_when_it_is_told_to() -> None:
    with subprocess.Popen([sys.executable, "-IB", keeper.__file__, "60"], stdout=subprocess.PIPE) as running:
        while not _handles_term(running.pid):
            time.sleep(0.02)
        running.terminate()
        assert running.wait(20) == 0


def _handles_term(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), 16)
    return bool(caught & 1 << 14)


@pytest.mark.parametrize("option", ["--from-folder", "--to-folder"])
def test_a_folder_takes_root(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    folders = [Path("/backup") if option == each else None for each in ("--from-folder", "--to-folder")]
    with pytest.raises(UserError, match=rf"^{option} /backup: only root can read and make files of every owner"):
        planning.moves(None, None, *folders, service=None, ordinal=None, stop=threading.Event())
