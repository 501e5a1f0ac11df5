"""Which volume goes to which claim.

Every refusal by its words, and that no claim ever gets another's volume.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.canary.manifests import canary_labels
from components.kube.ownership import Stamp
from ops.volumes.matching import AdoptionPlan, make_plan
from ops.volumes.volume import Location, Volume, give_up
from ops.volumes.wanted import wanted_claims
from tests.unit.volume_objects import NODE, claim, on, reserved, settings, stamp, volume, wanted

CHOOSE = "`pulumi config set --stack dev --path adopt.kafka.1 {}`"
DELETE = "`kubectl -n data delete pvc data-kafka-1`"
LABELS = (
    "app.kubernetes.io/part-of=storage-tiers app.kubernetes.io/instance=dev app.kubernetes.io/name=kafka "
    "app.kubernetes.io/component=streaming storage-tiers/ordinal=1"
)
LET_GO = """Let it go first: `kubectl patch pv pv1 -p '{"spec":{"claimRef":{"uid":"00000000-0000-0000-0000-000000000000"}}}'`"""
HAND_OVER = f"To hand it over knowingly: `kubectl label pv pv1 --overwrite {LABELS}`"


def plan(volumes: list[Volume], *claims: dict[str, Any], choice: str | None = None, **changes: Any) -> AdoptionPlan:
    """The plan for kafka 1 alone."""
    if choice:
        changes["adopt"] = {"kafka": {"1": choice}}
    return make_plan([wanted(**changes)], claims, volumes, [NODE])


def given_to(made: AdoptionPlan) -> dict[str, str]:
    assert not made.problems, made.problems
    return {each.name: found.name for each, found in made.gives.items()}


class TestGiven:
    def test_its_own_stamped_volume(self) -> None:
        assert given_to(plan([volume(marks=stamp())])) == {"data-kafka-1": "pv1"}

    def test_also_where_the_claim_is_there_and_empty(self) -> None:
        assert given_to(plan([volume(marks=stamp())], claim())) == {"data-kafka-1": "pv1"}

    def test_a_reservation_of_an_earlier_run_goes_before_other_volumes(self) -> None:
        assert given_to(plan([reserved("pv1", marks=stamp()), volume("pv2", marks=stamp())])) == {"data-kafka-1": "pv1"}

    def test_a_reservation_without_a_stamp_is_one_too(self) -> None:
        assert given_to(plan([reserved("pv1")])) == {"data-kafka-1": "pv1"}

    def test_its_own_although_somebody_took_the_claim_reference_away(self) -> None:
        assert given_to(plan([volume(last=None, phase="Available", marks=stamp())])) == {"data-kafka-1": "pv1"}

    def test_a_larger_volume(self) -> None:
        assert given_to(plan([volume(marks=stamp(), capacity={"storage": "5Gi"})])) == {"data-kafka-1": "pv1"}

    @pytest.mark.parametrize("choice", ["pv1", "/volumes/pv1"])
    def test_by_choice_one_of_several_or_an_unstamped_one(self, choice: str) -> None:
        assert given_to(plan([volume("pv1", marks=stamp()), volume("pv2", marks=stamp())], choice=choice)) == {"data-kafka-1": "pv1"}
        assert given_to(plan([volume("pv1")], choice=choice)) == {"data-kafka-1": "pv1"}

    def test_by_choice_a_volume_that_was_handed_over_by_its_labels(self) -> None:
        assert given_to(plan([volume(last="elsewhere/x", marks=stamp())], choice="pv1")) == {"data-kafka-1": "pv1"}

    def test_by_choice_a_new_one_whatever_is_there(self) -> None:
        made = plan([volume("pv1", marks=stamp()), volume("pv2", marks=stamp())], choice="new")
        assert (made.gives, [each.name for each in made.new], made.problems) == ({}, ["data-kafka-1"], [])

    def test_nothing_where_nothing_is(self) -> None:
        assert [each.name for each in plan([]).new] == ["data-kafka-1"]

    def test_nothing_to_a_claim_that_has_its_volume(self) -> None:
        held = volume("pv1", phase="Bound", marks=stamp())
        for choice in (None, "pv1", "/volumes/pv1", "new"):
            made = plan([held, volume("pv2", marks=stamp())], claim(volume="pv1"), choice=choice)
            assert [each.name for each in made.bound] == ["data-kafka-1"], made.problems

    @pytest.mark.parametrize(
        "other",
        [
            volume(marks=stamp(ordinal=2)),
            volume(marks=stamp(service="postgres")),
            volume(marks=stamp(stack="other")),
            volume(marks=canary_labels("dev", "streaming")),
            volume(last="data/data-kafka-2"),
            volume(last="elsewhere/data-kafka-1"),
            volume(storageClassName="standard"),  # unstamped, and of none of the stack's classes
            volume(phase="Bound", marks=stamp()),  # by another claim: one of that name and UID would be there
            volume(marks=stamp(), persistentVolumeReclaimPolicy="Delete"),
            volume(last=None, phase="Available"),
        ],
    )
    def test_never_anothers(self, other: Volume) -> None:
        made = plan([other])
        assert not made.gives
        assert not made.problems


REFUSED: dict[str, tuple[list[Volume], dict[str, Any], str]] = {
    "ambiguous": (
        [volume("pv1", marks=stamp()), volume("pv2", marks=stamp())],
        {},
        "2 volumes were its own:\n      pv1  Released, /volumes/pv1\n      pv2  Released, /volumes/pv2\n"
        f"    Choose: {CHOOSE.format('<one of these>')} (or `new` for an empty one)",
    ),
    "unstamped": (
        [volume("pv1")],
        {},
        "nothing but the name of its last claim says that this volume was its own:\n      pv1  Released, /volumes/pv1\n"
        f"    Choose: {CHOOSE.format('pv1')} (or `new` for an empty one)",
    ),
    "wrong class": (
        [volume(marks=stamp(), storageClassName="database-local-path")],
        {},
        "its volume pv1 is of class database-local-path, the claim of streaming-local-path: a volume stays on its class. "
        f"Put the service back on the tier that it was on, or begin anew: {CHOOSE.format('new')}",
    ),
    "smaller": (
        [volume(marks=stamp(), capacity={"storage": "1Gi"})],
        {},
        "its volume pv1 has 1Gi, the claim asks for 3380Mi. Set services.kafka.size to no more than it has, "
        f"or begin anew: {CHOOSE.format('new')}",
    ),
    "access mode": (
        [volume(marks=stamp(), accessModes=["ReadOnlyMany"])],
        {},
        "its volume pv1 allows ReadOnlyMany, the claim asks for ReadWriteOnce. Set services.kafka.accessMode to ReadOnlyMany",
    ),
    "a device": (
        [volume(marks=stamp(), volumeMode="Block")],
        {},
        "its volume pv1 is a device without a file system (volumeMode Block)",
    ),
    "node gone": (
        [volume(marks=stamp(), nodeAffinity=on("gone"))],
        {},
        "its volume pv1 is usable on node gone alone, and the cluster has no such node (nodes: here)",
    ),
    "failed": (
        [volume(marks=stamp(), phase="Failed")],
        {},
        "its volume pv1 is in phase Failed (no reason given): `kubectl describe pv pv1`",
    ),
    "stamped, but last used under another name": (
        [volume(marks=stamp(), last="old/data-kafka-1")],
        {},
        f"its volume pv1 was last the volume of old/data-kafka-1. To take it all the same: {CHOOSE.format('pv1')}",
    ),
    "the same data under two names": (
        [volume("pv1", marks=stamp()), volume("pv2", last="x/y", local={"path": "/volumes/pv1/deeper"})],
        {},
        "its volume pv1 has its data in /volumes/pv1, which volume pv2 names too",
    ),
    "the choice names nothing": (
        [volume()],
        {"choice": "pv9"},
        "adopt.kafka.1: pv9: no volume of the cluster has that name, path or handle. `python -m ops volumes --stack dev` lists the volumes",
    ),
    "the choice is bound": (
        [volume(phase="Bound", marks=stamp())],
        {"choice": "pv1"},
        "adopt.kafka.1: pv1: the volume pv1 is bound to data/data-kafka-1",
    ),
    "the choice is another stack's": (
        [volume(marks=stamp(stack="other"))],
        {"choice": "pv1"},
        f"adopt.kafka.1: pv1: pv1 is labelled as the volume of kafka 1 of stack other. {HAND_OVER}",
    ),
    "the choice is another replica's": (
        [volume(marks=stamp(ordinal=2), last="data/data-kafka-2")],
        {"choice": "pv1"},
        f"adopt.kafka.1: pv1: pv1 is labelled as the volume of kafka 2 of stack dev. {HAND_OVER}",
    ),
    "the choice has damaged labels": (
        [volume(marks={"app.kubernetes.io/part-of": "storage-tiers", "app.kubernetes.io/instance": "dev"})],
        {"choice": "pv1"},
        f"adopt.kafka.1: pv1: pv1 is labelled as the volume of stack dev, by labels that are damaged. {HAND_OVER}",
    ),
    "the choice was another claim's": (
        [volume(last="elsewhere/notes")],
        {"choice": "pv1"},
        f"adopt.kafka.1: pv1: pv1 was last the volume of elsewhere/notes. {HAND_OVER}",
    ),
    "the choice is a canary's": (
        [volume(marks=canary_labels("dev", "streaming"))],
        {"choice": "pv1"},
        "adopt.kafka.1: pv1: pv1 is a canary's volume, which holds nobody's data",
    ),
    "the choice is reserved for another claim": (
        [reserved(last="old/data-kafka-1", marks=stamp())],
        {"choice": "pv1"},
        f"adopt.kafka.1: pv1: the volume pv1 is reserved for old/data-kafka-1. To let it go: `{give_up('pv1')}`",
    ),
    "its own is reserved for another claim": (
        [reserved(last="data/data-kafka-2", marks=stamp())],
        {},
        f"its volume pv1 is reserved for data/data-kafka-2. To let it go: `{give_up('pv1')}`",
    ),
    "another choice after a reservation": (
        [reserved("pv1", marks=stamp()), volume("pv2", marks=stamp())],
        {"choice": "pv2"},
        f"adopt.kafka.1: pv2: pv1 is reserved for this claim already, which could be bound to that instead of pv2. {LET_GO}",
    ),
    "new after a reservation": (
        [reserved("pv1", marks=stamp())],
        {"choice": "new"},
        f"adopt.kafka.1: new: pv1 is reserved for this claim already, which could be bound to that instead of an empty volume. {LET_GO}",
    ),
    "another stack's is reserved for it": (
        [reserved("pv1", marks=stamp(stack="other"))],
        {},
        f"pv1 is reserved for this claim already, which could be bound to that instead of an empty volume. {LET_GO}",
    ),
    "the choice has the wrong class": (
        [volume(storageClassName="standard")],
        {"choice": "pv1"},
        "adopt.kafka.1: pv1: the volume pv1 is of class standard, the claim of streaming-local-path: a volume stays on its class. "
        f"Put the service back on the tier that it was on, or begin anew: {CHOOSE.format('new')}",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    volumes, options, words = REFUSED[case]
    made = plan(volumes, **options)
    assert [problem for _, problem in made.problems] == [words]
    assert not made.gives


CLAIMS: dict[str, tuple[dict[str, Any], str | None, str]] = {
    "somebody else's": (
        claim(stack="other"),
        None,
        f"a claim of this name is there that isn't stack dev's. Delete or rename it ({DELETE})",
    ),
    "going": (
        claim(deletionTimestamp="2026-01-01T00:00:00Z"),
        None,
        "the claim is being deleted, and goes when no pod uses it any more. Stop the pods, then try again",
    ),
    "lost": (
        claim(volume="pv0", phase="Lost"),
        None,
        f"the claim has lost its volume pv0, whose object was deleted. Delete the claim ({DELETE}), then try again",
    ),
    "bound already": (
        claim(volume="pv0"),
        "pv1",
        "the claim is bound to pv0 already, and the setting adopt.kafka.1 names pv1. Remove that setting; "
        f"or stop the pods and delete the claim ({DELETE}), which retains pv0",
    ),
    "empty, of another class": (
        {**claim(), "spec": {"storageClassName": "standard"}},
        None,
        f"the empty claim is of class standard, the settings say streaming-local-path. Delete the claim ({DELETE})",
    ),
}


@pytest.mark.parametrize("case", CLAIMS)
def test_claims_that_can_be_given_nothing(case: str) -> None:
    there, choice, words = CLAIMS[case]
    made = plan([volume(marks=stamp())], there, choice=choice)
    assert [problem for _, problem in made.problems] == [words]


@pytest.mark.parametrize("manager", ["pulumi", "Helm"])
def test_a_volume_that_a_tool_has_declared_is_no_canarys(manager: str) -> None:
    assert given_to(plan([volume(marks={**stamp(), "app.kubernetes.io/managed-by": manager})])) == {"data-kafka-1": "pv1"}


EBS = Location("csi", driver="ebs.csi.aws.com", handle="vol-0a")
PD = Location("csi", driver="pd.csi.storage.gke.io", handle="projects/p/zones/z/disks/pvc-1")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (EBS, Location.of({"csi": {"driver": "ebs.csi.eks.amazonaws.com", "volumeHandle": "vol-0a"}}), True),
        (EBS, Location.of({"awsElasticBlockStore": {"volumeID": "aws://eu-central-1a/vol-0a"}}), True),
        (EBS, Location.of({"awsElasticBlockStore": {"volumeID": "vol-0b"}}), False),
        (PD, Location.of({"gcePersistentDisk": {"pdName": "pvc-1"}}), True),
        (PD, Location.of({"gcePersistentDisk": {"pdName": "pvc-2"}}), False),
        (PD, Location("csi", driver=PD.driver, handle="projects/p/zones/other/disks/pvc-1"), False),
        (Location.of({"nfs": {}}), Location.of({"nfs": {}}), False),
    ],
)
def test_one_disk_by_whichever_driver(one: Location, other: Location, same: bool) -> None:
    assert one.shares(other) is same
    assert other.shares(one) is same


@pytest.mark.parametrize("choice", ["vol-0a", "aws://eu-central-1a/vol-0a"])
def test_a_choice_with_its_zone_is_known_again(choice: str) -> None:
    there = volume(marks=stamp(), local=None, csi={"driver": EBS.driver, "volumeHandle": "vol-0a"})
    assert given_to(plan([there], choice=choice)) == {"data-kafka-1": "pv1"}


def test_one_volume_is_never_given_to_two() -> None:
    shared = [volume("pv1", last="data/data-kafka-1", marks=stamp()), volume("pv2", last="data/data-kafka-2", marks=stamp(ordinal=2))]
    twice = [shared[0], volume("pv2", last="data/data-kafka-2", marks=stamp(ordinal=2), local={"path": "/volumes/pv1"})]
    assert len(make_plan(wanted_claims(settings()), [], shared, [NODE]).gives) == 2
    assert make_plan(wanted_claims(settings()), [], twice, [NODE]).problems


ANY_STAMP = st.builds(
    stamp,
    st.sampled_from(["kafka", "postgres", "redis"]),
    st.integers(0, 3),
    st.sampled_from(["dev", "other"]),
    st.sampled_from(["streaming", "database"]),
)
ANY_MARKS: st.SearchStrategy[dict[str, str]] = st.one_of(st.just({}), ANY_STAMP, st.just(canary_labels("dev", "streaming")))
ANY_CLAIM = st.one_of(
    st.none(), st.builds("{}/data-{}-{}".format, st.sampled_from(["data", "x"]), st.sampled_from(["kafka", "postgres"]), st.integers(0, 2))
)


@st.composite
def any_volume(draw: st.DrawFn, number: int) -> Volume:
    last = draw(ANY_CLAIM)
    phase = draw(st.sampled_from(["Released", "Bound", "Available", "Failed"]))
    namespace, _, name = (last or "").partition("/")
    uid = {} if phase == "Available" else {"uid": f"u{number}"}
    return volume(
        f"pv{number}",
        last,
        draw(ANY_MARKS),
        phase,
        claimRef={"namespace": namespace, "name": name, **uid} if last else None,
        storageClassName=draw(st.sampled_from(["streaming-local-path", "database-local-path", "standard"])),
        capacity={"storage": draw(st.sampled_from(["1Gi", "3380Mi", "5Gi"]))},
        accessModes=[draw(st.sampled_from(["ReadWriteOnce", "ReadWriteMany"]))],
        persistentVolumeReclaimPolicy=draw(st.sampled_from(["Retain", "Delete"])),
        nodeAffinity=on(draw(st.sampled_from(["here", "gone"]))),
        local={"path": f"/volumes/{draw(st.integers(0, 6))}"},
    )


@given(st.integers(0, 8).flatmap(lambda count: st.tuples(*(any_volume(number) for number in range(count)))), st.data())
def test_whatever_is_adopted_matches(volumes: tuple[Volume, ...], data: st.DataObject) -> None:
    everything = wanted_claims(settings())
    choices = data.draw(
        st.dictionaries(st.integers(0, 2), st.sampled_from([each.name for each in volumes]), max_size=3) if volumes else st.just({})
    )
    unique = {str(ordinal): name for ordinal, name in choices.items() if list(choices.values()).count(name) == 1}
    if unique:
        everything = wanted_claims(settings(adopt={"kafka": unique}))
    made = make_plan(everything, [], volumes, [NODE])
    for each, found in made.gives.items():
        assert found.storage_class == each.storage_class
        assert found.capacity >= each.capacity
        assert each.access_mode in found.access_modes
        assert found.node == "here"
        assert found.phase in ("Released", "Available")
        assert found.policy == "Retain" or found.phase == "Available"
        mine = Stamp.of(found.labels)
        assert not found.of_canary
        if mine:
            assert (mine.stack, mine.service, mine.ordinal) == ("dev", each.service, each.ordinal)
        else:
            assert found.marked_for == ""
            assert found.claim is None or (found.claim.namespace, found.claim.name) == (each.namespace, each.name)
            assert each.choice == found.name or found.reserved
    assert len({found.name for found in made.gives.values()}) == len(made.gives) or made.problems
    if not made.problems:
        paths = [found.location.path for found in made.gives.values()]
        assert len(set(paths)) == len(paths)
        assert len(made.gives) + len(made.new) == len(everything)
