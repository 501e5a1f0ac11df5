"""The one error of this tool that a person is meant to read."""

from __future__ import annotations


class MachineError(Exception):
    """The machine lacks something, or something on it went wrong that could be foreseen: shown
    without a traceback.

    `message` names what is wrong; `hint` is what to do about it, preferably a command that works.
    Either is a few lines.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message
