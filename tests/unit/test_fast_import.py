"""The collector's pause while modules are loaded."""

from __future__ import annotations

import gc

import pytest

from components.fast_import import without_garbage_collection


def test_the_collector_is_off_within_and_on_again_after() -> None:
    assert gc.isenabled()
    with without_garbage_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.unfreeze()


def test_after_an_import_that_fails_as_well() -> None:
    with pytest.raises(ImportError), without_garbage_collection():
        raise ImportError
    assert gc.isenabled()
    gc.unfreeze()
