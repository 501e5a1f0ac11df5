"""A machine with Docker and Kind: what `devkube.cluster.choose` takes for a user's."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devkube.images import build_image
from devkube.progress import step
from tests.kind.docker import Docker
from tests.kind.node_image import IMAGE, node_image
from tests.kind.parts import kind_program

# kind's own default is an image of Docker Hub. One that is named still counts: the last one does.
_KIND = """#!/bin/sh
case "$1 $2" in "create cluster") shift 2; set -- create cluster --image @IMAGE@ "$@" ;; esac
exec @KIND@ "$@"
"""


def made() -> tuple[Path, Path]:
    """The program kind and the archive of the node's image, made first where the cache has none.

    So are the images for the canary and for consumers. Raises MachineError where a part can't be
    had.
    """
    for name in ("python", "busybox"):
        build_image(name)
    return kind_program(), node_image()


@contextmanager
def docker_and_kind() -> Iterator[Docker]:
    """Docker and kind on PATH, with the node's image loaded, while the block lasts.

    This thread, and what it starts, is then on Docker's network, which leads nowhere else: whatever
    has to be downloaded is got before. Raises MachineError where a part can't be had.
    """
    program, image = made()
    with Docker() as docker:
        wrapper = docker.programs / "kind"
        wrapper.write_text(_KIND.replace("@IMAGE@", shlex.quote(IMAGE)).replace("@KIND@", shlex.quote(str(program))))
        wrapper.chmod(0o755)
        with step("Kind's node image: loading it into Docker", estimate=15):
            docker.client("load", "--quiet", "--input", image)
        with docker.used():
            os.environ["KIND_IMAGE"] = IMAGE  # as in `make up KIND_IMAGE=…`: kind's own image may not fit this machine
            yield docker
