"""Image archives: what is in them, and that the same content gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from devkube import images
from devkube.errors import MachineError
from devkube.images.oci import ImageConfig, write_archive


def make_rootfs(folder: Path) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "tmp").mkdir()
    (folder / "bin/tool").write_bytes(b"#!/bin/sh\n")
    (folder / "bin/tool").chmod(0o700)
    (folder / "bin/alias").symlink_to("tool")
    (folder / "readme").write_text("text")
    return folder


def write(folder: Path, name: str) -> tuple[Path, str]:
    target = folder / f"{name}.tar"
    config = ImageConfig(command=["sh"], environment={"PATH": "/bin"}, user="1:1", modes={"tmp": 0o1777})
    digest = write_archive(make_rootfs(folder / name), config, "storage-tiers.local/thing", ["1", "{digest}"], target)
    return target, digest


def read(archive: tarfile.TarFile, name: str) -> Any:
    member = archive.extractfile(name)
    assert member
    return json.loads(member.read())


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = write(tmp_path, "one"), write(tmp_path, "two")
    assert first[0].read_bytes() == second[0].read_bytes()
    assert first[1] == second[1]


def test_every_blob_has_the_digest_and_size_that_name_it(tmp_path: Path) -> None:
    target, digest = write(tmp_path, "one")
    with tarfile.open(target) as archive:
        blobs = [member for member in archive.getmembers() if member.name.startswith("blobs/sha256/")]
        assert len(blobs) == 3
        for member in blobs:
            content = archive.extractfile(member)
            assert content
            assert hashlib.sha256(content.read()).hexdigest() == member.name.removeprefix("blobs/sha256/")
        index = read(archive, "index.json")
        manifest = read(archive, f"blobs/sha256/{digest.removeprefix('sha256:')}")
        sizes = {f"sha256:{member.name.removeprefix('blobs/sha256/')}": member.size for member in blobs}
        described = [*index["manifests"], manifest["config"], *manifest["layers"]]
        assert all(sizes[each["digest"]] == each["size"] for each in described)
        assert read(archive, "oci-layout") == {"imageLayoutVersion": "1.0.0"}


def test_names_are_a_plain_tag_and_one_of_the_content(tmp_path: Path) -> None:
    target, digest = write(tmp_path, "one")
    with tarfile.open(target) as archive:
        names = [each["annotations"]["io.containerd.image.name"] for each in read(archive, "index.json")["manifests"]]
    assert names == ["storage-tiers.local/thing:1", f"storage-tiers.local/thing:{digest[7:19]}"]


def test_layer_keeps_modes_links_and_nobodys_name(tmp_path: Path) -> None:
    target, digest = write(tmp_path, "one")
    with tarfile.open(target) as archive:
        manifest = read(archive, f"blobs/sha256/{digest[7:]}")
        layer_file = archive.extractfile(f"blobs/sha256/{manifest['layers'][0]['digest'][7:]}")
        with tarfile.open(fileobj=layer_file) as layer:
            members = {member.name: member for member in layer.getmembers()}
    assert {name: oct(member.mode) for name, member in members.items() if not member.issym()} == {
        "bin": "0o755",
        "bin/tool": "0o755",
        "readme": "0o644",
        "tmp": "0o1777",
    }
    assert members["bin/alias"].linkname == "tool"
    assert {(member.uid, member.gid, member.mtime, member.uname) for member in members.values()} == {(0, 0, 0, "")}


def test_unknown_image_names_the_known_ones() -> None:
    with pytest.raises(MachineError, match="busybox"):
        images.build_image("postgres")
