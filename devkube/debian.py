"""Files out of Debian and Ubuntu packages, without installing anything: downloaded and verified by
apt, unpacked into the cache."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from devkube import cache, paths, proxies
from devkube.errors import MachineError
from devkube.progress import step

# `apt-get download --print-uris`: 'address' file-name size SHA256:digest
_URI_LINE = re.compile(r"^'[^']*' (?P<file>\S+) (?P<size>\d+) (?P<digest>\S*)$")


def _apt(*arguments: str, own_lists: bool, folder: Path) -> subprocess.CompletedProcess[str]:
    """apt-get with everything that it writes kept in the cache.

    `own_lists` also reads package lists from there.
    """
    state = paths.cache() / "apt"
    for each in (state / "lists/partial", state / "archives/partial"):
        each.mkdir(parents=True, exist_ok=True)
    # The sandbox user could not write into root's cache folder. What is downloaded is verified all
    # the same.
    options = ["-q", "-o", "APT::Sandbox::User=root", "-o", f"Dir::Cache={state}", "-o", "APT::Get::AllowUnauthenticated=false"]
    if own_lists:
        options += ["-o", f"Dir::State::lists={state / 'lists'}"]
    options += _authority()
    environment = {**proxies.for_apt(os.environ), "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(["apt-get", *options, *arguments], cwd=folder, capture_output=True, text=True, env=environment, check=False)


def _authority() -> list[str]:
    """The option that has apt trust SSL_CERT_FILE, unless its own settings name a file."""
    file = os.environ.get("SSL_CERT_FILE")
    if not file or shutil.which("apt-config") is None:
        return []
    own = subprocess.run(["apt-config", "dump", "--format=%v", "Acquire::https::CaInfo"], capture_output=True, text=True, check=False)
    return [] if own.stdout.strip() else ["-o", f"Acquire::https::CaInfo={file}"]


def _wanted(packages: Sequence[str], *, own_lists: bool) -> list[str]:
    """`file digest` of each package's newest version, sorted.

    Empty where the lists don't have all of them.
    """
    answer = _apt("download", "--print-uris", *packages, own_lists=own_lists, folder=Path("/"))
    if answer.returncode != 0:
        return []
    found = [match for line in answer.stdout.splitlines() if (match := _URI_LINE.match(line))]
    return sorted(f"{match['file']} {match['digest']}" for match in found) if len(found) == len(packages) else []


def _decided_by() -> str:
    """A digest of what decides which versions apt names: its settings, the package lists and dpkg's
    status, by their times and sizes. Empty where apt doesn't say where they are.
    """
    asked = ("lists", "Dir::State::lists/d", "settings", "Dir::Etc/d", "status", "Dir::State::status/f")
    try:
        said = subprocess.run(["apt-config", "shell", *asked], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    digest = hashlib.sha256(said.encode())
    for place in [*(Path(word.partition("=")[2]) for word in shlex.split(said)), paths.cache() / "apt/lists"]:
        for path in sorted([place, *place.rglob("*")]):
            with suppress(OSError):
                status = path.stat()
                digest.update(f"{path} {status.st_mtime_ns} {status.st_size}\n".encode())
    return digest.hexdigest()


def _noted(note: Path, decided_by: str) -> Path | None:
    """The folder that apt's last answer led to, while what decides the answer is the same and the
    folder whole.

    An answer takes 1.4 s of a processor where apt keeps no cache of its own, as in containers of
    Debian's, and every start of a cluster wants several.
    """
    with suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(note.read_text())
        folder = note.parent / str(kept["folder"])
        if decided_by and kept["decided by"] == decided_by and cache.is_whole(folder):
            return folder
    return None


def _fetch(packages: Sequence[str], wanted: Sequence[str], target: Path, *, own_lists: bool) -> str:
    """Download and unpack into `target`; returns what went wrong, or nothing.

    An interrupted run leaves no `target`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as temporary:
        folder = Path(temporary)
        root = folder / "root"
        root.mkdir()
        answer = _apt("download", *packages, own_lists=own_lists, folder=folder)
        if answer.returncode != 0:
            return answer.stderr.strip()
        for archive in sorted(folder.glob("*.deb")):
            unpacked = subprocess.run(["dpkg-deb", "-x", archive, root], capture_output=True, text=True, check=False)
            if unpacked.returncode != 0:
                return unpacked.stderr.strip()
        (root / ".packages").write_text("\n".join(wanted) + "\n")
        cache.keep(root, target)
    return ""


def needed_by(package: str) -> list[str]:
    """The names of `package` and of all that it depends on, as on a system that has nothing yet.

    Raises MachineError where there is no apt, or none of its sources has the package.
    """
    if shutil.which("apt-get") is None:
        raise MachineError(f"what {package} depends on can't be had: apt-get is not on PATH.", f"Install {package} yourself.")
    asked = ["-o", "Dir::State::status=/dev/null", "install", "--print-uris", "-y", "--no-install-recommends", package]
    for own_lists in (False, True):
        if own_lists:
            _apt("update", own_lists=True, folder=Path("/"))
        answer = _apt(*asked, own_lists=own_lists, folder=Path("/"))
        found = [match["file"].partition("_")[0] for line in answer.stdout.splitlines() if (match := _URI_LINE.match(line))]
        if found:
            return sorted(found)
    raise MachineError(f"no apt source has the package {package}.", proxies.said() or "`apt-get update` says why.")


def unpack(packages: Sequence[str]) -> Path:
    """The folder that holds the files of `packages` (their newest versions in the machine's own apt
    sources), e.g. usr/bin/runc.

    Nothing is installed, no dependency is followed, and the system's package lists stay as they
    are. The folder's name comes from the packages' versions and digests, so a newer version gets a
    new folder. Raises MachineError where there is no apt, or the packages can't be had.
    """
    names = " ".join(packages)
    install = f"Install the packages yourself ({names}, or what your distribution calls them), then run this again."
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise MachineError(f"the packages {names} can't be had: these programs are not on PATH: {', '.join(missing)}.", install)
    base = paths.cache() / "debian"
    key = hashlib.sha256(names.encode()).hexdigest()[:16]
    last, note = base / f"last-{key}", base / f"answer-{key}.json"
    decided_by = _decided_by()
    noted = _noted(note, decided_by)
    if noted:
        return noted
    own_lists = False
    wanted = _wanted(packages, own_lists=False)
    if not wanted:
        own_lists = True
        wanted = _wanted(packages, own_lists=True)
    target = base / hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:16]
    if wanted and cache.is_whole(target):
        unfinished = note.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps({"decided by": decided_by, "folder": target.name}))
        unfinished.replace(note)
        return target
    problem = ""
    with step(f"Debian packages: {names}", estimate=10):
        if wanted:
            problem = _fetch(packages, wanted, target, own_lists=own_lists)
        if not wanted or problem:  # no lists, or lists so old that their files are gone
            update = _apt("update", own_lists=True, folder=Path("/"))
            wanted = _wanted(packages, own_lists=True)
            target = base / hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:16]
            if wanted:
                problem = "" if cache.is_whole(target) else _fetch(packages, wanted, target, own_lists=True)
            else:
                problem = update.stderr.strip() or "no apt source has all of them"
    if problem:
        if cache.is_whole(last):  # offline: what was used the last time
            return last.resolve()
        lines = problem.splitlines()
        cause = next((line for line in lines if "Failed to fetch" in line), lines[-1])
        raise MachineError(f"the packages {names} could not be downloaded: {cause}", " ".join(filter(None, [proxies.said(), install])))
    link = base / f".{last.name}-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(target.name)
    link.replace(last)
    return target
