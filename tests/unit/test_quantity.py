"""Sizes: what is a size, what it is rounded to, and that this is what the API server keeps."""

from __future__ import annotations

import math
from decimal import localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity

from components.kube.quantity import GI, LARGEST_BYTES, MI, TI, UNITS, Size, SizeError, bytes_of, quantity


@pytest.mark.parametrize(
    ("text", "requested_bytes", "provisioned_bytes", "provisioned"),
    [
        ("5Gi", 5 * GI, 5 * GI, "5Gi"),
        ("3.3Gi", 3543348020, 3380 * MI, "3380Mi"),
        ("512Mi", 512 * MI, 512 * MI, "512Mi"),
        ("5120Mi", 5 * GI, 5 * GI, "5Gi"),
        ("1.5Ti", 1536 * GI, 1536 * GI, "1536Gi"),
        ("1024Ti", 1024 * TI, 1024 * TI, "1Pi"),
        ("0.5Mi", MI // 2, MI, "1Mi"),
        ("0.0000001Mi", 1, MI, "1Mi"),
        ("05Gi", 5 * GI, 5 * GI, "5Gi"),
    ],
)
def test_a_size_is_rounded_up_to_whole_mi(text: str, requested_bytes: int, provisioned_bytes: int, provisioned: str) -> None:
    size = Size.parse(text)
    assert (size.requested, size.requested_bytes) == (text, requested_bytes)
    assert (size.provisioned_bytes, size.provisioned) == (provisioned_bytes, provisioned)


@pytest.mark.parametrize(
    ("text", "works"),
    [
        ("5GB", "5Gi"),
        ("5G", "5Gi"),
        ("5GiB", "5Gi"),
        ("5gi", "5Gi"),
        ("5", "5Gi"),
        (" 5Gi", "5Gi"),
        ("5Gi\n", "5Gi"),
        ("5 Gi", "5Gi"),
        ("+5Gi", "5Gi"),
        ("-1Gi", "1Gi"),
        ("0Gi", "1Gi"),
        ("0.0Mi", "1Mi"),
        (".5Gi", "0.5Gi"),
        ("3.3G", "3.3Gi"),
        ("5Ki", "1Mi"),
        ("2048Ki", "2Mi"),
        ("1e3Mi", "1000Mi"),
        ("5368709120", "5Gi"),
        ("5Pi", "5120Ti"),
        ("10M", "10Mi"),
        ("2TB", "2Ti"),
        ("٥Gi", "5Gi"),
        ("", "5Gi"),
        ("five", "5Gi"),
        ("9" * 40 + "Gi", "5Gi"),
        ("8388608Ti", "16Ti"),
    ],
)
def test_what_is_no_size_is_refused_with_the_nearest_one(text: str, works: str) -> None:
    with pytest.raises(SizeError) as refused:
        Size.parse(text)
    assert refused.value.works == works
    assert refused.value.rule
    Size.parse(works)


@given(st.text(max_size=40))
def test_any_text_is_a_size_or_refused_with_a_text_that_is_one(text: str) -> None:
    try:
        assert Size.parse(text).provisioned_bytes > 0
    except SizeError as refused:
        Size.parse(refused.works)


sizes = st.builds(
    lambda whole, places, unit: f"{whole}.{places}{unit}" if places is not None else f"{whole}{unit}",
    st.integers(1, 4_000_000),
    st.none() | st.text("0123456789", min_size=1, max_size=6),
    st.sampled_from(sorted(UNITS)),
)


@given(sizes)
def test_never_less_than_asked_for_and_less_than_one_mi_more(text: str) -> None:
    size = Size.parse(text)
    assert size.exact == Fraction(text[:-2]) * UNITS[text[-2:]]
    assert size.requested_bytes == math.ceil(size.exact)
    assert 0 <= size.provisioned_bytes - size.exact < MI
    assert size.provisioned_bytes % MI == 0
    assert size.provisioned_bytes <= LARGEST_BYTES


@given(sizes)
def test_the_provisioned_quantity_is_the_same_bytes_in_kubernetes_own_reading(text: str) -> None:
    size = Size.parse(text)
    assert parse_quantity(size.provisioned) == size.provisioned_bytes


@given(st.integers(1, LARGEST_BYTES // MI))
def test_a_quantity_has_the_largest_unit_in_which_it_is_whole(number: int) -> None:
    text = quantity(number * MI)
    assert parse_quantity(text) == number * MI
    assert int(text[:-2]) % 1024 != 0 or text.endswith("Ei")


def test_a_quantity_of_a_part_of_a_mi_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="1048577 bytes"):
        quantity(MI + 1)


@given(
    st.builds(
        lambda number, suffix: f"{number}{suffix}",
        st.from_regex(r"[0-9]{1,9}(\.[0-9]{1,3})?", fullmatch=True),
        st.sampled_from(["", *"numkMGTPE", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "E9", "e-2"]),
    )
)
def test_a_quantity_is_as_many_bytes_as_kubernetes_own_client_reads(text: str) -> None:
    with localcontext(prec=60):  # the client reckons in decimals of the context, which by default have 28 digits
        wanted = math.ceil(parse_quantity(text))
    assert bytes_of(text) == wanted


def test_nothing_is_written_as_the_api_server_writes_it() -> None:
    assert quantity(0) == "0"
    assert bytes_of("0") == 0


@pytest.mark.parametrize("text", ["", "Gi", "5GB", "5 Gi", "٥Gi", "1e", "1e999", "1" * 40, "--1"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a Kubernetes quantity"):
        bytes_of(text)


@given(sizes, st.sampled_from([MI, GI]))
def test_in_larger_units_it_is_rounded_up_to_these_and_the_request_stays(text: str, unit: int) -> None:
    size = Size.parse(text).in_units_of(unit)
    assert size.requested == text
    assert size.requested_bytes == Size.parse(text).requested_bytes
    assert size.provisioned_bytes % unit == 0
    assert 0 <= size.provisioned_bytes - size.exact < unit
    assert parse_quantity(size.provisioned) == size.provisioned_bytes


@pytest.mark.parametrize(("text", "provisioned"), [("3.3Gi", "4Gi"), ("5Gi", "5Gi"), ("1Mi", "1Gi"), ("1025Mi", "2Gi"), ("1024Gi", "1Ti")])
def test_a_cloud_makes_whole_gi(text: str, provisioned: str) -> None:
    assert Size.parse(text).in_units_of(GI).provisioned == provisioned
