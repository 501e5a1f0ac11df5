"""Writes a container image as an OCI archive: one layer from a folder, byte for byte the same for
the same content.

The format is the OCI image layout (image-spec 1.0: oci-layout, index.json, blobs/sha256/…) in a
tar, which `ctr images import` and `kind load image-archive` read.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_TAR_END = 1024  # bytes


@dataclass(frozen=True)
class ImageConfig:
    """What a container of the image runs, in the words of the image specification."""

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = "0:0"
    working_folder: str = "/"
    # Path in the image without the leading /, mode: where the file system has none.
    modes: Mapping[str, int] = field(default_factory=dict)


def _entry(path: Path, name: str, modes: Mapping[str, int]) -> tarfile.TarInfo:
    """The tar header of a file, with everything left out that differs between two builds of the
    same content."""
    info = tarfile.TarInfo(name)
    if path.is_symlink():
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
    elif path.is_dir():
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    else:
        info.size = path.stat().st_size
        info.mode = 0o755 if path.stat().st_mode & 0o111 else 0o644
    info.mode = modes.get(name, info.mode)
    return info


def _write_layer(rootfs: Path, modes: Mapping[str, int], target: BinaryIO) -> None:
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as layer:
        for path in sorted(rootfs.rglob("*")):
            info = _entry(path, path.relative_to(rootfs).as_posix(), modes)
            if info.isreg():
                with path.open("rb") as content:
                    layer.addfile(info, content)
            else:
                layer.addfile(info)


class _Archive:
    """A tar under way, with its blobs added once each."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self.tar = tar

    def add(self, name: str, content: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(content), 0o644
        self.tar.addfile(info, io.BytesIO(content))

    def blob(self, media_type: str, content: bytes) -> dict[str, Any]:
        """Add a blob; returns its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        self.add(f"blobs/sha256/{digest}", content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def write_archive(rootfs: Path, config: ImageConfig, repository: str, tags: Sequence[str], target: Path) -> str:
    """Write the image `repository` under `tags` to `target`.

    Returns its manifest's digest (`sha256:…`).

    Owner is root and the time 1970 for every file. A tag `{digest}` stands for the first 12 hex
    digits of the manifest's digest.
    """
    architecture = _ARCHITECTURES.get(platform.machine().lower(), platform.machine().lower())
    layer_bytes = io.BytesIO()
    _write_layer(rootfs, config.modes, layer_bytes)
    layer = layer_bytes.getvalue()
    temporary = target.with_name(f".{target.name}.new")
    with tarfile.open(temporary, mode="w", format=tarfile.GNU_FORMAT) as tar:
        archive = _Archive(tar)
        archive.add("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        layer_descriptor = archive.blob("application/vnd.oci.image.layer.v1.tar", layer)
        image = {
            "architecture": architecture,
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "Entrypoint": list(config.entrypoint) or None,
                "Cmd": list(config.command) or None,
                "Env": [f"{name}={value}" for name, value in sorted(config.environment.items())],
                "User": config.user,
                "WorkingDir": config.working_folder,
            },
            "rootfs": {"type": "layers", "diff_ids": [layer_descriptor["digest"]]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": archive.blob("application/vnd.oci.image.config.v1+json", _json(image)),
            "layers": [layer_descriptor],
        }
        descriptor = archive.blob("application/vnd.oci.image.manifest.v1+json", _json(manifest))
        digest = str(descriptor["digest"])
        named = [tag.format(digest=digest.removeprefix("sha256:")[:12]) for tag in tags]
        manifests = [
            {
                **descriptor,
                "platform": {"architecture": architecture, "os": "linux"},
                "annotations": {"io.containerd.image.name": f"{repository}:{tag}", "org.opencontainers.image.ref.name": tag},
            }
            for tag in named
        ]
        archive.add("index.json", _json({"schemaVersion": 2, "manifests": manifests}))
    temporary.replace(target)
    return digest


def is_whole(archive: Path) -> bool:
    """Whether an archive is there with its end: tar ends with two blocks of zeros, which one that
    was cut off lacks."""
    try:
        with archive.open("rb") as file:
            file.seek(-_TAR_END, os.SEEK_END)
            return file.read() == bytes(_TAR_END)
    except OSError:  # not there, or shorter than that
        return False
