"""The project as it was at a git revision, as files in a folder.

Nothing is written to the repository or the work tree.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from devkube import paths
from ops.errors import UserError


def where_the_branch_began(revision: str) -> str:
    """The commit that this branch and `revision` have in common last: what a merge compares with.

    Without one in the clone (a shallow clone, or histories that never met) it is `revision` itself.
    Raises UserError for a revision that isn't there.
    """
    commit = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None:
        raise UserError(f"there is no git revision {revision!r} in this clone.", "Get it first (`git fetch origin`), or name another one.")
    return _git("merge-base", commit, "HEAD") or commit


def check_out(commit: str, folder: Path) -> None:
    """Write the files of `commit` to `folder`, by an index of its own there."""
    index = {"GIT_INDEX_FILE": str(folder.with_name(f"{folder.name}.index"))}
    folder.mkdir(parents=True)
    for arguments in (["read-tree", commit], ["checkout-index", "--all", "--quiet", f"--prefix={folder}{os.sep}"]):
        if _git(*arguments, **index) is None:
            raise UserError(f"the files of the git revision {commit} can't be read: `git {arguments[0]}` failed.")


def _git(*arguments: str, **variables: str) -> str | None:
    """What git prints; None when it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=paths.ROOT, env={**os.environ, **variables}, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise UserError("there is no git on PATH.", "Install git, or leave out the base.") from None
    return done.stdout.strip() if done.returncode == 0 else None
