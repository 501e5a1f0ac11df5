"""What can go wrong on the way to a cluster's API.

A module of its own, so that naming an error costs no import of a client.
"""

from __future__ import annotations

import json
from http import HTTPStatus


class ApiError(Exception):
    """The API didn't do what it was asked for.

    `status` is the HTTP status that it gave instead, None where it wasn't reached; `message` is the
    API's own sentence, or empty. `context` and `path` say what was asked, where it is known.
    `remedy` is a sentence on what to do, where more is known than that the API doesn't answer.
    """

    def __init__(
        self, text: str, status: int | None = None, message: str = "", *, context: str = "", path: str = "", remedy: str = ""
    ) -> None:
        super().__init__(text)
        self.remedy = remedy
        self.status = status
        self.message = message
        self.context = context
        self.path = path

    @property
    def reason(self) -> str:
        """`403 Forbidden`, or why the API wasn't reached."""
        if self.status is None:
            return str(self)
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)


class UnusableContext(ApiError):
    """The kubeconfig doesn't lead to the API as it is.

    The text says what is wrong with which entry.

    It has no such cluster or user, fields that contradict each other, or a way to sign in that
    fails. Nothing was sent.
    """


def api_sentence(answer: bytes) -> str:
    """The `message` of a Status: why the API refuses. A proxy before it may answer anything."""
    try:
        return str(json.loads(answer).get("message") or "")
    except (ValueError, AttributeError):
        return ""


def in_words(problem: BaseException) -> str:
    """An error in words, without the number that the system has for it."""
    return getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
