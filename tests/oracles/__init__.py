"""Oracles: the drivers' own code, held against what this project says of the same input.

Each is a Go module in a folder of its own here, built once into the user's cache.
Its program reads one JSON value a line from standard input, and answers each with one line.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devkube.toolchain.build import EXE, Recipe, build_module

HERE = Path(__file__).resolve().parent


def ask(name: str, questions: Sequence[Any], *, estimate: float = 30) -> list[Any]:
    """What the oracle in the folder `name` answers to each question, in their order.

    `estimate` is how many seconds its build takes where nothing is built yet.
    Raises MachineError where it can't be built, and CalledProcessError where it fails.
    """
    recipe = Recipe(title=f"The oracle {name}", estimate=estimate, packages={name: "."}, ldflags="-s -w")
    program = build_module(HERE / name, recipe) / f"{name}{EXE}"
    asked = "".join(f"{json.dumps(question)}\n" for question in questions)
    done = subprocess.run([program], input=asked, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(questions), f"{name}: {len(answers)} answers to {len(questions)} questions"
    return answers
