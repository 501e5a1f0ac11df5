"""Files out of Debian's packages: what is said where there is no apt."""

from __future__ import annotations

from pathlib import Path

import pytest

from devkube.debian import unpack
from devkube.errors import MachineError


@pytest.mark.parametrize(
    ("there", "missing"),
    [((), "apt-get, dpkg-deb"), (("apt-get",), "dpkg-deb"), (("dpkg-deb",), "apt-get")],
    ids=["no apt", "no dpkg", "dpkg"],
)
def test_what_is_missing_is_named(there: tuple[str, ...], missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in there:
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError) as raised:
        unpack(["runc", "containernetworking-plugins"])
    assert str(raised.value) == (
        f"the packages runc containernetworking-plugins can't be had: these programs are not on PATH: {missing}.\n"
        "Install the packages yourself (runc containernetworking-plugins, or what your distribution calls them), then run this again."
    )
