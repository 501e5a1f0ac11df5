"""The errors that a person at a command line of this project is meant to read."""

from __future__ import annotations

import errno
import shlex


class UserError(Exception):
    """Something foreseeable went wrong: shown without a traceback, exit status `status`, which is 1
    unless a command says more.

    `message` names what is wrong (the setting or object, and its value); `hint` is what to do about
    it, preferably a command that works. Either is one or two lines.
    """

    status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


def fault_of_the_machine(problem: OSError) -> UserError | None:
    """What to tell a person about a full disk or a file that may not be written.

    None for what is more likely a fault of this code.
    """
    where = str(problem.filename or "a file")
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"no space is left on the disk that holds {where}.", "Free some there (`df -h` shows how full it is), then run this again."
        )
    if problem.errno == errno.EROFS:
        return UserError(f"{where} can't be written: its file system is read-only.", "Use a clone in a folder that can be written to.")
    if problem.errno in (errno.EACCES, errno.EPERM):
        return UserError(
            f"{where}: this user has no right to that ({problem.strerror}).",
            f"`ls -ld {shlex.quote(where)}` shows whose it is. What a run with sudo made is root's: use sudo again, or chown it.",
        )
    return None
