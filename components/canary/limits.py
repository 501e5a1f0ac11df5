"""What a stack may ask of a tier's figures, as `canary.limits.<tier>` in its settings."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple


class Direction(Enum):
    """Which side of a limit is good."""

    AT_MOST = "at most"
    AT_LEAST = "at least"


class LimitedFigure(NamedTuple):
    """A figure that may be limited.

    It has a `name` in the settings and a `path` in the verdict; `unit` is that of both numbers.
    `description` says what the limit is, for the settings' reference and their error messages.
    `example` is a number for it. `of_engine`: an engine's acceptance measures it, not the probe.
    """

    name: str
    direction: Direction
    unit: str
    path: tuple[str, ...]
    description: str
    example: str
    of_engine: bool = False

    def measured(self, figures: Mapping[str, Any]) -> float | None:
        """This figure of a proof; None where there was no time to measure it."""
        found: Any = figures
        for key in self.path:
            found = (found or {}).get(key)
        return None if found is None else float(found)


_MB = "the least MB (10^6 bytes) written and synced in a second, above 0"
LIMITED_FIGURES = {
    figure.name: figure
    for figure in (
        LimitedFigure(
            "syncP50Ms", Direction.AT_MOST, "ms", ("syncMs", "p50"), "the longest median sync, in milliseconds above 0", example="5"
        ),
        LimitedFigure(
            "syncP95Ms", Direction.AT_MOST, "ms", ("syncMs", "p95"), "the longest sync but 5 in 100, in milliseconds above 0", example="10"
        ),
        LimitedFigure(
            "syncP99Ms", Direction.AT_MOST, "ms", ("syncMs", "p99"), "the longest sync but 1 in 100, in milliseconds above 0", example="10"
        ),
        LimitedFigure("writeMBps", Direction.AT_LEAST, "MB/s", ("writeMBps",), _MB, example="80"),
        LimitedFigure(
            "writeIOPS",
            Direction.AT_LEAST,
            "writes/s",
            ("writeIOPS",),
            "the fewest writes, each with its sync, in a second, above 0",
            example="100",
        ),
        LimitedFigure(
            "transactionsPerSecond",
            Direction.AT_LEAST,
            "transactions/s",
            ("transactionsPerSecond",),
            "of PostgreSQL: the fewest transactions in a second, above 0",
            example="50",
            of_engine=True,
        ),
        LimitedFigure(
            "commitP99Ms",
            Direction.AT_MOST,
            "ms",
            ("commitMs", "p99"),
            "of PostgreSQL: the longest commit but 1 in 100, in milliseconds above 0",
            example="200",
            of_engine=True,
        ),
        LimitedFigure(
            "recordsMBps",
            Direction.AT_LEAST,
            "MB/s",
            ("MBps",),
            "of Kafka: the least MB (10^6 bytes) of records acknowledged in a second, above 0",
            example="5",
            of_engine=True,
        ),
        LimitedFigure(
            "ackP99Ms",
            Direction.AT_MOST,
            "ms",
            ("ackMs", "p99"),
            "of Kafka: the longest acknowledgement but 1 in 100, in milliseconds above 0",
            example="500",
            of_engine=True,
        ),
        LimitedFigure(
            "recoverySeconds",
            Direction.AT_MOST,
            "s",
            ("recoverySeconds",),
            "of an engine: the longest time until it is there again after a kill, in seconds above 0",
            example="60",
            of_engine=True,
        ),
    )
}


class FigureLimit(NamedTuple):
    """A limit that a stack has set: `number` in the figure's unit."""

    figure: LimitedFigure
    number: float

    @classmethod
    def parse(cls, text: str) -> FigureLimit:
        """From `syncP99Ms=10.5`. Raises ValueError for an unknown name or no number."""
        name, _, number = text.partition("=")
        if name not in LIMITED_FIGURES:
            raise ValueError(f"{name!r} is no figure that can be limited; these are: {', '.join(LIMITED_FIGURES)}")
        return cls(LIMITED_FIGURES[name], float(number))

    def is_kept(self, figures: Mapping[str, Any]) -> bool:
        """Whether a proof's figure is within the limit; a figure that is equal to it is.

        One that another engine has is no figure of this proof, and keeps any limit.
        """
        if self.figure.of_engine and self.figure.path[0] not in figures:
            return True
        measured = self.figure.measured(figures)
        if measured is None:
            return False
        return measured <= self.number if self.figure.direction is Direction.AT_MOST else measured >= self.number

    def broken(self, figures: Mapping[str, Any]) -> str:
        """How a proof's figure breaks the limit, as a sentence's part."""
        measured, direction = self.figure.measured(figures), self.figure.direction.value
        found = "was not measured in time" if measured is None else f"is {measured:g}"
        return f"{self.figure.name} {found}, the limit is {direction} {self.number:g}"
