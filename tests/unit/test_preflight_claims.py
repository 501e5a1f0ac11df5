"""Which changes of the settings are refused for the claims that they would lose, by their exact
messages; and which are not.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.kube import labels
from components.kube.api import ApiError, KubeApi
from components.kube.quantity import MI, bytes_of, quantity
from components.preflight import previous
from components.preflight.claims import QuotaHeadroom, problems, quota_headroom
from components.preflight.previous import PreviousClaim, PreviousStack, is_another_cluster
from components.preflight.snapshot import ClaimKey, ClaimSnapshot, ClaimState
from components.provisioners import PROVISIONERS, StorageClassFields
from components.provisioners.local_path import LocalPath
from components.settings import Settings, SettingsError, load
from tests.unit.mocked_program import CLAIM, QUOTA, dev_config, run

SERVICES = json.loads(dev_config()["storage-tiers:services"])
CLUSTER = {"context": "storage-tiers-dev", "identifier": "storage-tiers-dev"}


def outputs(**changes: Any) -> dict[str, Any]:
    """The outputs that an `up` with the dev stack's settings, changed, leaves.

    Those of the canary are left out.
    """
    made = settings(**changes)
    return {
        "provisioner": made.provisioner.name,
        "cluster": {"context": made.cluster.context, "identifier": made.cluster.identifier},
        "namespace": made.namespace.name,
        "claims": {
            name: [
                {
                    "name": f"data-{name}-{ordinal}",
                    "namespace": made.namespace.name,
                    "storageClass": f"{service.tier}-{made.provisioner.name}",
                    "accessMode": service.access_mode,
                    "requested": service.size.requested,
                    "provisioned": service.size.provisioned,
                }
                for ordinal in range(service.replicas)
            ]
            for name, service in made.services.items()
        },
    }


def settings(**changes: Any) -> Settings:
    return load(dev_config(**changes), "dev")


BEFORE = PreviousStack.of(outputs())


def services(**changes: Any) -> dict[str, Any]:
    """The dev stack's services; keyword arguments change one of them, None takes it away."""
    changed = {name: {**SERVICES.get(name, {}), **(change or {})} for name, change in changes.items() if change is not None}
    return {**{name: each for name, each in SERVICES.items() if name not in changes}, **changed}


def live(claim: PreviousClaim, state: ClaimState = ClaimState.BOUND, **more: Any) -> dict[str, Any]:
    """A claim as the API's JSON has it."""
    bound = state is ClaimState.BOUND
    return {
        "metadata": {"name": claim.name, "namespace": claim.namespace, "uid": f"uid of {claim.name}", "labels": {}, **more},
        "spec": {
            "accessModes": [claim.access_mode],
            "storageClassName": claim.storage_class,
            "resources": {"requests": {"storage": quantity(claim.size)}},
            **({"volumeName": "pvc-1"} if bound else {}),
        },
        "status": {"phase": "Bound" if bound else "Pending"},
    }


def snapshot_of(states: Mapping[ClaimKey, ClaimState], before: PreviousStack = BEFORE) -> ClaimSnapshot:
    """A cluster in which the claims are in these states; those that aren't named are bound."""
    found = {claim.key: states.get(claim.key, ClaimState.BOUND) for claim in before.claims}
    return ClaimSnapshot({claim.key: live(claim, found[claim.key]) for claim in before.claims if found[claim.key] is not ClaimState.GONE})


ALL_BOUND = snapshot_of({})
NONE = ClaimSnapshot()
UNREAD = ClaimSnapshot(unread="the API answered 403")
ALL_PENDING = snapshot_of({claim.key: ClaimState.PENDING for claim in BEFORE.claims})

DATA = "data-postgres-0, data-kafka-0, data-kafka-1, data-kafka-2"
KAFKA_FIRST = "data-kafka-0, data-kafka-1, data-kafka-2, data-postgres-0"
GIVE_UP = "stop the pods, `kubectl --context storage-tiers-dev -n data delete pvc"
COPY = "a copy of the data (docs/changes.md)"

REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "another tier": (
        {"services": services(kafka={"tier": "database"})},
        [
            'services.kafka.tier: "database": a claim can\'t change its class: it would be made anew, empty, and on streaming-local-path '
            f"data-kafka-0, data-kafka-1, data-kafka-2 hold data. Works: streaming; or a new service and {COPY}"
        ],
    ),
    "a tier renamed": (
        {"tiers": {"db": {"kind": "database"}, "streaming": {}}, "services": services(postgres={"tier": "db"})},
        [
            'services.postgres.tier: "db": a claim can\'t change its class: it would be made anew, empty, and on database-local-path '
            f"data-postgres-0 holds data. Works: database; or a new service and {COPY}"
        ],
    ),
    "another access mode": (
        {"services": services(postgres={"accessMode": "ReadWriteOncePod"})},
        [
            'services.postgres.accessMode: "ReadWriteOncePod": a claim can\'t change its access mode: it would be made anew, empty, and '
            f"data-postgres-0 holds data. Works: ReadWriteOnce; or a new service and {COPY}"
        ],
    ),
    "a smaller size": (
        {"services": services(kafka={"size": "3Gi"})},
        [
            'services.kafka.size: "3Gi": a volume can\'t be made smaller, and data-kafka-0, data-kafka-1, data-kafka-2 hold data of 3.3Gi. '
            f"Works: 3.3Gi; or a new service and {COPY}"
        ],
    ),
    "a larger size on local-path": (
        {"services": services(postgres={"size": "6Gi"})},
        [
            'services.postgres.size: "6Gi": local-path can\'t make a volume larger, and data-postgres-0 holds data of 5Gi. '
            f"Works: 5Gi; or a new service and {COPY}"
        ],
    ),
    "fewer replicas": (
        {"services": services(kafka={"replicas": 2})},
        [
            "services.kafka.replicas: 2: the claims above that number are deleted, and data-kafka-2 holds data. Works: 3; or, to do "
            f"without it, {GIVE_UP} data-kafka-2` (the volume is retained: `python -m ops volumes`), then `pulumi up`"
        ],
    ),
    "a service removed": (
        {"services": services(kafka=None)},
        [
            "services.kafka: (missing): the claims of a service that is removed or renamed are deleted, and data-kafka-0, data-kafka-1, "
            "data-kafka-2 hold data. Works: {tier: streaming, size: 3.3Gi, replicas: 3}; or, to do without them, "
            f"{GIVE_UP} data-kafka-0 data-kafka-1 data-kafka-2` (the volumes are retained: `python -m ops volumes`), then `pulumi up`"
        ],
    ),
    "a service renamed": (
        {"services": services(postgres=None, pg={"tier": "database", "size": "5Gi"})},
        [
            "services.postgres: (missing): the claims of a service that is removed or renamed are deleted, and data-postgres-0 holds data. "
            "Works: {tier: database, size: 5Gi, replicas: 1}; or, to do without it, "
            f"{GIVE_UP} data-postgres-0` (the volume is retained: `python -m ops volumes`), then `pulumi up`"
        ],
    ),
    "another namespace": (
        {"namespace": {"name": "other"}},
        [
            f'namespace.name: "other": a claim can\'t change its namespace: it would be made anew, empty, and in data {DATA} hold data. '
            f"Works: data; or a new stack and {COPY}"
        ],
    ),
    "another identifier": (
        {"cluster": {**CLUSTER, "identifier": "other"}},
        [
            'cluster.identifier: "other": another identifier is another cluster, on which everything is made anew, and '
            f"{DATA} hold data. Works: storage-tiers-dev; or a stack of its own for another cluster (`pulumi stack init <name>`)"
        ],
    ),
    "everything at once": (
        {
            "cluster": {**CLUSTER, "identifier": "other"},
            "namespace": {"name": "other"},
            "services": {"kafka": {"tier": "database", "size": "1Gi", "accessMode": "ReadWriteOncePod"}},
        },
        [
            f'cluster.identifier: "other": another identifier is another cluster, on which everything is made anew, and '
            f"{KAFKA_FIRST} hold data. Works: storage-tiers-dev; or a stack of its own for another cluster (`pulumi stack init <name>`)",
            f'namespace.name: "other": a claim can\'t change its namespace: it would be made anew, empty, and in data '
            f"{KAFKA_FIRST} hold data. Works: data; or a new stack and {COPY}",
            "services.kafka.replicas: 1: the claims above that number are deleted, and data-kafka-1, data-kafka-2 hold data. "
            f"Works: 3; or, to do without them, {GIVE_UP} data-kafka-1 data-kafka-2` (the volumes are retained: `python -m ops volumes`), "
            "then `pulumi up`",
            'services.kafka.tier: "database": a claim can\'t change its class: it would be made anew, empty, and on streaming-local-path '
            f"data-kafka-0, data-kafka-1, data-kafka-2 hold data. Works: streaming; or a new service and {COPY}",
            'services.kafka.accessMode: "ReadWriteOncePod": a claim can\'t change its access mode: it would be made anew, empty, and '
            f"data-kafka-0, data-kafka-1, data-kafka-2 hold data. Works: ReadWriteOnce; or a new service and {COPY}",
            'services.kafka.size: "1Gi": a volume can\'t be made smaller, and data-kafka-0, data-kafka-1, data-kafka-2 hold data of 3.3Gi. '
            f"Works: 3.3Gi; or a new service and {COPY}",
            "services.postgres: (missing): the claims of a service that is removed or renamed are deleted, and data-postgres-0 holds data. "
            "Works: {tier: database, size: 5Gi, replicas: 1}; or, to do without it, "
            f"{GIVE_UP} data-postgres-0` (the volume is retained: `python -m ops volumes`), then `pulumi up`",
        ],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_change_that_would_lose_a_bound_claim_is_refused(case: str) -> None:
    changes, expected = REFUSED[case]
    assert [str(problem) for problem in problems(BEFORE, settings(**changes), ALL_BOUND)] == expected


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_told_counts_as_bound_and_the_message_says_so(case: str) -> None:
    changes, expected = REFUSED[case]
    doubtful = [
        text.replace("hold data", "hold data, as far as can be told (the API answered 403)").replace(
            "holds data", "holds data, as far as can be told (the API answered 403)"
        )
        for text in expected
    ]
    assert [str(problem) for problem in problems(BEFORE, settings(**changes), UNREAD)] == doubtful


@pytest.mark.parametrize("case", [case for case in REFUSED if "size" not in case])
@pytest.mark.parametrize("seen", [ALL_PENDING, NONE], ids=["never bound", "gone"])
def test_it_is_allowed_where_nothing_was_ever_written(case: str, seen: ClaimSnapshot) -> None:
    assert problems(BEFORE, settings(**REFUSED[case][0]), seen) == []


def test_the_same_settings_lose_nothing_wherever_they_are_looked_at() -> None:
    for seen in (ALL_BOUND, ALL_PENDING, NONE, UNREAD):
        assert problems(BEFORE, settings(), seen) == []


@pytest.mark.parametrize("size", ["3Gi", "4Gi"])
def test_the_size_of_a_pending_claim_is_changed_by_deleting_it(size: str) -> None:
    (problem,) = problems(BEFORE, settings(services=services(kafka={"size": size})), ALL_PENDING)
    assert str(problem) == (
        f'services.kafka.size: "{size}": Kubernetes changes the size of a bound claim only, and data-kafka-0, data-kafka-1, data-kafka-2 '
        "wait for a first pod. Works: 3.3Gi; or `kubectl --context storage-tiers-dev -n data delete pvc data-kafka-0 data-kafka-1 "
        "data-kafka-2` (without data as yet), then `pulumi up --refresh`"
    )
    assert problems(BEFORE, settings(services=services(kafka={"size": size})), NONE) == []


def test_a_pending_claim_that_is_made_anew_anyway_takes_any_size() -> None:
    changed = settings(services=services(kafka={"size": "4Gi", "tier": "database"}))
    assert problems(BEFORE, changed, ALL_PENDING) == []


def test_only_those_of_a_service_that_hold_data_are_named() -> None:
    seen = snapshot_of({("data", "data-kafka-1"): ClaimState.PENDING, ("data", "data-kafka-2"): ClaimState.GONE})
    (problem,) = problems(BEFORE, settings(services=services(kafka={"tier": "database"})), seen)
    assert "on streaming-local-path data-kafka-0 holds data." in str(problem)


def test_many_claims_are_counted_not_listed() -> None:
    before = PreviousStack.of(outputs(services=services(kafka={"replicas": 8})))
    (problem,) = problems(before, settings(services=services(kafka={"replicas": 1})), UNREAD)
    assert "data-kafka-1, data-kafka-2, data-kafka-3, data-kafka-4, data-kafka-5 and 2 more hold data" in problem.rule


class Expanding(LocalPath):
    """A provisioner that can expand volumes."""

    name = "expanding"

    def storage_class(self, parameters: Any) -> StorageClassFields:
        return StorageClassFields(allow_volume_expansion=True)


@pytest.fixture
def expanding(monkeypatch: pytest.MonkeyPatch) -> PreviousStack:
    provisioners = {**PROVISIONERS, "expanding": Expanding()}
    monkeypatch.setattr("components.settings.values.PROVISIONERS", provisioners)
    return PreviousStack.of(outputs(provisioner="expanding"))


class TestAProvisionerThatExpands:
    def test_makes_bound_claims_larger(self, expanding: PreviousStack) -> None:
        changed = settings(provisioner="expanding", services=services(kafka={"size": "4Gi"}))
        for seen in (snapshot_of({}, expanding), UNREAD):
            assert problems(expanding, changed, seen) == []

    def test_one_that_could_not_grow_is_asked_for_less_but_never_for_what_it_has(self, expanding: PreviousStack) -> None:
        failed = {claim.key: {**live(claim), "status": {"phase": "Bound", "capacity": {"storage": "2Gi"}}} for claim in expanding.claims}
        snapshot = ClaimSnapshot(failed)
        before = expanding.as_seen(snapshot, "dev")
        assert problems(before, settings(provisioner="expanding", services=services(kafka={"size": "3Gi"})), snapshot) == []
        (problem,) = problems(before, settings(provisioner="expanding", services=services(kafka={"size": "2Gi"})), snapshot)
        assert problem.rule == "a volume can't be made smaller, and data-kafka-0, data-kafka-1, data-kafka-2 hold data of 2Gi"
        assert problem.works.startswith("3.3Gi; or ")

    def test_but_neither_smaller_nor_pending_ones(self, expanding: PreviousStack) -> None:
        seen = snapshot_of({("data", "data-kafka-0"): ClaimState.PENDING}, expanding)
        (problem,) = problems(expanding, settings(provisioner="expanding", services=services(kafka={"size": "3Gi"})), seen)[:1]
        assert "can't be made smaller, and data-kafka-1, data-kafka-2 hold data" in problem.rule
        (problem,) = problems(expanding, settings(provisioner="expanding", services=services(kafka={"size": "4Gi"})), seen)
        assert "only, and data-kafka-0 waits for a first pod" in problem.rule

    def test_another_provisioner_is_one_problem_not_one_for_each_service(self, expanding: PreviousStack) -> None:
        assert [str(problem) for problem in problems(BEFORE, settings(provisioner="expanding"), ALL_BOUND)] == [
            f'provisioner: "expanding": a claim can\'t change its class: it would be made anew, empty, and on local-path {DATA} hold data. '
            f"Works: local-path; or a new stack and {COPY}"
        ]
        both = settings(provisioner="expanding", services=services(postgres={"tier": "streaming"}))
        assert [problem.path for problem in problems(BEFORE, both, ALL_BOUND)] == ["provisioner", "services.postgres.tier"]


class TestAnotherContext:
    CHANGED = settings(cluster={**CLUSTER, "context": "other"})
    REFUSAL = (
        f'cluster.context: "other": this cluster has none of the stack\'s claims, and in that of context storage-tiers-dev {DATA} hold data'
    )
    WORKS = ". Works: storage-tiers-dev; or a stack of its own for another cluster (`pulumi stack init <name>`)"

    def said(self, here: ClaimSnapshot, there: ClaimSnapshot) -> list[str]:
        elsewhere = is_another_cluster(BEFORE, here, there)
        return [str(problem) for problem in problems(BEFORE, self.CHANGED, there if elsewhere else here, elsewhere)]

    def test_of_the_same_cluster_is_a_renamed_one(self) -> None:
        assert self.said(snapshot_of({}), snapshot_of({})) == []

    @pytest.mark.parametrize("there", [NONE, UNREAD], ids=["the old name is another cluster's now", "the old name is gone"])
    def test_with_the_claims_is_taken_for_a_renamed_one(self, there: ClaimSnapshot) -> None:
        assert self.said(snapshot_of({}), there) == []

    @pytest.mark.parametrize("here", [NONE, UNREAD], ids=["empty", "silent"])
    def test_without_the_claims_is_another_cluster(self, here: ClaimSnapshot) -> None:
        assert self.said(here, snapshot_of({})) == [self.REFUSAL + self.WORKS]

    def test_with_claims_of_the_same_names_is_another_cluster_while_the_first_one_has_its_own(self) -> None:
        theirs = ClaimSnapshot({claim.key: live(claim, uid=f"another {claim.name}") for claim in BEFORE.claims})
        assert self.said(theirs, snapshot_of({})) == [self.REFUSAL + self.WORKS]

    def test_is_refused_while_the_last_cluster_can_not_be_asked(self) -> None:
        assert self.said(NONE, UNREAD) == [f"{self.REFUSAL}, as far as can be told (the API answered 403){self.WORKS}"]

    def test_may_be_moved_to_when_nothing_was_ever_written(self) -> None:
        assert self.said(NONE, ALL_PENDING) == []
        assert self.said(NONE, NONE) == []

    def test_other_changes_are_judged_by_the_claims_where_they_are(self) -> None:
        changed = settings(cluster={**CLUSTER, "context": "other"}, services=services(kafka={"replicas": 2}))
        paths = [problem.path for problem in problems(BEFORE, changed, snapshot_of({}), elsewhere=True)]
        assert paths == ["cluster.context", "services.kafka.replicas"]


class TestAnUpThatDidNotEndWell:
    """Outputs are those of the last good `up`; what a later one has made is only in the cluster."""

    @staticmethod
    def extra(**more: Any) -> ClaimSnapshot:
        claim = PreviousClaim("kafka", 3, "data", "streaming-local-path", "ReadWriteOnce", "3380Mi", 3380 * MI)
        made = live(claim, labels=labels.recommended("kafka", "dev", "streaming"), annotations={"storage-tiers/requested": "3.3Gi"}, **more)
        return ClaimSnapshot({**ALL_BOUND.claims, claim.key: made})

    def test_its_claims_are_kept_too(self) -> None:
        before = BEFORE.as_seen(self.extra(), "dev")
        assert before.claims == (
            *BEFORE.claims,
            PreviousClaim("kafka", 3, "data", "streaming-local-path", "ReadWriteOnce", "3380Mi", 3380 * MI),
        )
        (problem,) = problems(before, settings(), self.extra())
        assert problem.path == "services.kafka.replicas"
        assert "data-kafka-3 holds data" in problem.rule
        assert problem.works.startswith("4; or, to do without it,")

    def test_a_claim_of_another_stack_or_name_is_none_of_its(self) -> None:
        assert BEFORE.as_seen(self.extra(), "other") == BEFORE
        assert BEFORE.as_seen(self.extra(name="data-kafka-03"), "dev") == BEFORE
        assert BEFORE.as_seen(ALL_BOUND, "dev") == BEFORE

    def test_a_size_that_was_written_down_but_not_reached_is_not_held_against_the_old_one(self) -> None:
        before = PreviousStack.of(outputs(services=services(kafka={"size": "4Gi"}))).as_seen(ALL_BOUND, "dev")
        assert problems(before, settings(), ALL_BOUND) == []

    def test_a_claim_that_somebody_made_larger_is_as_large_as_it_is(self) -> None:
        larger = copy.deepcopy(dict(ALL_BOUND.claims))
        larger["data", "data-postgres-0"]["spec"]["resources"]["requests"]["storage"] = "8Gi"
        seen = ClaimSnapshot(larger)
        (problem,) = problems(BEFORE.as_seen(seen, "dev"), settings(), seen)
        assert str(problem) == (
            'services.postgres.size: "5Gi": a volume can\'t be made smaller, and data-postgres-0 holds data of 8Gi. '
            f"Works: 8Gi; or a new service and {COPY}"
        )


SIZES = st.integers(1, 8).map(lambda number: f"{number}Gi")
MODES = st.sampled_from(["ReadWriteOnce", "ReadWriteOncePod"])
SERVICE = st.fixed_dictionaries(
    {"tier": st.sampled_from(["database", "streaming"]), "size": SIZES, "replicas": st.integers(1, 3), "accessMode": MODES}
)
STACKS = st.fixed_dictionaries(
    {
        "services": st.dictionaries(st.sampled_from(["postgres", "kafka"]), SERVICE),
        "namespace": st.sampled_from(["data", "other"]).map(lambda name: {"name": name}),
        "cluster": st.sampled_from(["one", "two"]).map(lambda name: {"context": "storage-tiers-dev", "identifier": name}),
    }
)


def claims_of(stack: dict[str, Any]) -> dict[tuple[Any, ...], int]:
    """Every claim of a stack by all that makes another claim of it for Kubernetes.

    The value is its size.
    """
    return {
        (stack["cluster"]["identifier"], stack["namespace"]["name"], f"data-{name}-{ordinal}", each["tier"], each["accessMode"]): bytes_of(
            each["size"]
        )
        for name, each in stack["services"].items()
        for ordinal in range(each["replicas"])
    }


def outputs_of(stack: dict[str, Any]) -> PreviousStack:
    return PreviousStack(
        "storage-tiers-dev",
        stack["cluster"]["identifier"],
        "local-path",
        tuple(
            PreviousClaim(
                name,
                number,
                stack["namespace"]["name"],
                f"{each['tier']}-local-path",
                each["accessMode"],
                each["size"],
                bytes_of(each["size"]),
            )
            for name, each in stack["services"].items()
            for size in [each["size"]]
            for number in range(each["replicas"])
        ),
    )


@given(STACKS, STACKS, st.data())
def test_a_change_is_refused_if_and_only_if_a_claim_with_data_would_be_lost_or_its_size_can_not_be_had(
    old: dict[str, Any], new: dict[str, Any], data: st.DataObject
) -> None:
    before = outputs_of(old)
    states = {claim.key: data.draw(st.sampled_from([ClaimState.BOUND, ClaimState.PENDING, ClaimState.GONE])) for claim in before.claims}
    seen = snapshot_of(states, before)
    wanted = claims_of(new)
    lost = resized = False
    for (identity, size), claim in zip(claims_of(old).items(), before.claims, strict=True):
        stays = identity in wanted
        lost |= states[claim.key] is ClaimState.BOUND and not stays
        resized |= states[claim.key] is not ClaimState.GONE and stays and wanted[identity] != size  # local-path: neither way
    found = problems(before, settings(**new), seen)
    assert bool(found) == (lost or resized), [str(problem) for problem in found]


@given(STACKS, STACKS)
def test_room_is_left_for_exactly_what_goes_where_others_come(old: dict[str, Any], new: dict[str, Any]) -> None:
    before = outputs_of(old)
    seen = snapshot_of({claim.key: ClaimState.PENDING for claim in before.claims}, before)
    makes = {f"{identity[3]}-local-path" for identity in claims_of(new) if identity not in claims_of(old)}
    expected: dict[str, QuotaHeadroom] = {}
    for (identity, size), claim in zip(claims_of(old).items(), before.claims, strict=True):
        if identity not in claims_of(new) and claim.namespace == new["namespace"]["name"] and claim.storage_class in makes:
            one = expected.get(claim.storage_class, QuotaHeadroom())
            expected[claim.storage_class] = QuotaHeadroom(one.claims + 1, one.size + size)
    assert dict(quota_headroom(before, settings(**new), seen)) == expected


class TestTheProgram:
    """The check in the whole program, with a cluster that does not answer."""

    def test_nothing_is_declared_when_it_refuses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(SettingsError, match=r"services\.kafka\.replicas: 2: the claims above that number are deleted"):
            run(dev_config(services=services(kafka={"replicas": 2})), before=outputs())

    def test_an_empty_state_has_nothing_to_lose_and_a_preview_of_it_asks_no_cluster(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert set(run(dev_config()).of(CLAIM)) == {claim.name for claim in BEFORE.claims}
        monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
        monkeypatch.setattr(KubeApi, "items", lambda *_: pytest.fail("asked"))
        monkeypatch.setattr("components.preflight.cluster._nodes", lambda *_: [])
        run(dev_config())

    @pytest.fixture
    def forbidden(self, monkeypatch: pytest.MonkeyPatch) -> set[str]:
        """A cluster with what a first `up` has made before it failed: a claim in namespace data.

        The paths given may not be listed.
        """
        (claim,) = (claim for claim in BEFORE.claims if claim.service == "postgres")
        found = [live(claim, labels=labels.recommended("postgres", "dev", "database"))]
        everywhere = "/api/v1/persistentvolumeclaims?labelSelector=app.kubernetes.io/part-of=storage-tiers,app.kubernetes.io/instance=dev"
        answers = {everywhere: found, "/api/v1/namespaces/data/persistentvolumeclaims": found}
        paths: set[str] = set()

        def items(_: KubeApi, path: str) -> list[Any]:
            if path.partition("?")[0] in paths:
                raise ApiError("the API answered 403", 403)
            return answers.get(path, [])

        monkeypatch.setattr(KubeApi, "items", items)
        monkeypatch.setattr("components.preflight.cluster._nodes", lambda *_: [])
        return paths

    @pytest.mark.usefixtures("forbidden")
    def test_a_first_up_that_failed_has_no_outputs_but_its_claims_are_found_in_any_namespace(self) -> None:
        with pytest.raises(
            SettingsError, match=r'namespace\.name: "other": a claim can\'t change its namespace: .* data-postgres-0 holds data\.'
        ):
            run(dev_config(namespace={"name": "other"}))

    def test_and_in_that_of_the_settings_where_no_others_may_be_listed(self, forbidden: set[str]) -> None:
        forbidden.add("/api/v1/persistentvolumeclaims")
        with pytest.raises(SettingsError, match=r"services\.postgres\.tier: .* data-postgres-0 holds data\."):
            run(dev_config(services=services(postgres={"tier": "streaming"})))

    def test_its_own_outputs_say_what_was_there(self) -> None:
        assert PreviousStack.of(run(dev_config()).outputs) == BEFORE

    def test_those_of_an_older_version_do_as_well(self) -> None:
        older = outputs()
        for claims in older["claims"].values():
            for claim in claims:
                del claim["accessMode"]
        assert len(run(dev_config(), before=older).of(QUOTA)) == 2

    def test_outputs_that_can_not_be_read_stop_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pauses: list[float] = []
        monkeypatch.setattr(pulumi.runtime, "invoke", lambda *_: (_ for _ in ()).throw(Exception("EOF")))
        monkeypatch.setattr(time, "sleep", pauses.append)
        with pytest.raises(pulumi.RunError, match=r"outputs of stack organization/storage-tiers/dev can't be read, .*: EOF"):
            run(dev_config())
        assert tuple(pauses) == previous.PAUSES

    def test_a_state_that_is_being_written_is_read_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        read, tries = pulumi.runtime.invoke, iter([True, True, False])

        def invoke(*arguments: Any) -> Any:
            if next(tries):
                raise Exception("failed to load checkpoint: EOF")
            return read(*arguments)

        monkeypatch.setattr(pulumi.runtime, "invoke", invoke)
        with pytest.raises(SettingsError, match=r"services\.kafka\.replicas: 2"):
            run(dev_config(services=services(kafka={"replicas": 2})), before=outputs())
