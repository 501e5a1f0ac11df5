"""Each command of docs/migrate.md is named here, with the test that has to run it.

Whether it does, that test says.
"""

from __future__ import annotations

import re

from devkube import paths

_MOVE = "tests/integration/test_move.py"
_WALK, _GONE, _FOLDER = (
    (_MOVE, name)
    for name in ("test_the_walk_that_the_page_shows", "test_the_old_stack_goes_once_all_is_proven", "test_to_a_folder_and_back")
)
_LIVE = "tests/integration/test_move_live.py", "test_a_client_writes_until_the_switch_and_everything_is_there"
_MIRROR = "tests/integration/test_move_mirror.py", "test_a_producer_writes_until_the_switch_and_every_record_is_there"
_OPS = "python -m ops move --from dev --to aws"
RUN_BY = {
    "make preview STACK=aws": ("tests/engine/test_preview.py", "test_every_committed_stack_without_kubeconfig_and_credentials"),
    "make rehearse STACK=aws": ("tests/integration/test_rehearsal.py", "test_a_cloud_stack_comes_up_is_proven_and_keeps_its_data"),
    "pulumi stack init aws": ("tests/integration/move_stacks.py", "bring_up_second"),
    "pulumi up": ("tests/integration/move_stacks.py", "bring_up_second"),
    "kubectl --context storage-tiers-dev -n data scale statefulset postgres --replicas=0": _WALK,
    f"{_OPS} --plan": _WALK,
    _OPS: _WALK,
    f"{_OPS} --verify": _WALK,
    "kubectl --context storage-tiers-dev -n data delete statefulset postgres kafka --ignore-not-found": _GONE,
    "pulumi destroy --stack dev": _GONE,
    "python -m ops volumes prune --stack dev": _GONE,
    "sudo -E .venv/bin/python -m ops move --from dev --to-folder /backup": _FOLDER,
    "sudo -E .venv/bin/python -m ops move --from-folder /backup --to aws": _FOLDER,
    **{f"{_OPS} --service postgres --live{step}": _LIVE for step in ("", " --plan", " --switch")},
    **{f"{_OPS} --service kafka --live{step}": _MIRROR for step in ("", " --plan", " --switch")},
}


def test_every_command_of_the_page_is_run_by_a_test() -> None:
    page = (paths.ROOT / "docs/migrate.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^ *\$ (.*)$", page, re.MULTILINE)) == set(RUN_BY)
    for command, (file, function) in RUN_BY.items():
        assert f"def {function}" in (paths.ROOT / file).read_text(encoding="utf-8"), f"{command}: {file}::{function}"
