"""Runs before the engine: puts Python and a client where the engine's image can run them.

One file, standard library only, Python 3.10 or newer, on Linux. The engine's official image has no
Python, and may have another libc. So the interpreter that runs this is copied into a folder
together with its loader, the libraries that are mapped into it, the standard library and the
client's packages. `<folder>/loader --library-path <folder>/lib <folder>/bin/python3` then runs it
on any Linux of the same architecture (docs/decisions/0019-accept.md).

What it says goes to stdout, a line each: a word, a space, JSON. The words:

    tools   what was copied: Python's version, the package's version, bytes
    fault   it could not be done: errno (or pip), message
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

LEFT_OUT = ("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data", "__pycache__")
INSTALLING = 180  # seconds that pip may take


def say(word: str, value: object) -> None:
    """One line of the report."""
    print(f"{word} {json.dumps(value, separators=(',', ':'))}", flush=True)


def mapped_files(maps: str) -> list[str]:
    """The files that `/proc/<pid>/maps` names, each once, in their order."""
    names = (line.split(maxsplit=5)[5] for line in maps.splitlines() if len(line.split(maxsplit=5)) == 6)
    return list(dict.fromkeys(name for name in names if name.startswith("/") and not name.endswith(" (deleted)")))


def is_loader(name: str) -> bool:
    """Whether a mapped file is the dynamic loader: glibc's or musl's."""
    base = name.rpartition("/")[2]
    return base.startswith(("ld-linux", "ld-musl", "ld64", "ld-2"))


def library_names(base: str) -> list[str]:
    """The shorter names by which a library may be asked for.

    The file libffi.so.8.1.2 is asked for as libffi.so.8.
    """
    stem, _, version = base.partition(".so.")
    parts = version.split(".") if version else []
    return [f"{stem}.so.{'.'.join(parts[:count])}" for count in range(1, len(parts))]


def install(requirements: Path, target: Path) -> str:
    """Get the client's packages by pip, by their hashes; what went wrong, or nothing."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "install", "--quiet"]
    command += ["--require-hashes", "--only-binary=:all:", "--target", str(target), "-r", str(requirements)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=INSTALLING, env={**os.environ, "HOME": str(target)})
    except subprocess.TimeoutExpired:
        return f"pip has not ended in {INSTALLING} s"
    said = (answer.stderr or answer.stdout).strip().splitlines()
    return "" if answer.returncode == 0 else next((line for line in said if line.startswith("ERROR")), said[-1] if said else "pip failed")


def load(package: str) -> list[str]:
    """Import the package, and give what all of it has mapped into this process."""
    for name in (package, "ssl", "ctypes", "socket", "subprocess", "threading", "zoneinfo", "uuid", "decimal"):
        try:
            importlib.import_module(name)
        except ImportError:  # a minimal Python lacks some of these; the package itself was imported before
            if name == package:
                raise
    return mapped_files(Path("/proc/self/maps").read_text(encoding="utf-8"))


def top_folders(package: str) -> list[Path]:
    """The entries of the package's folder that belong to it or that it needs.

    A wheel has its libraries in `<name>.libs` beside it, and its version in `<name>-….dist-info`.
    """
    site = Path(str(importlib.import_module(package).__file__)).parent.parent
    loaded = {name.partition(".")[0] for name, module in sys.modules.items() if str(getattr(module, "__file__", "")).startswith(f"{site}/")}
    found = []
    for path in sorted(site.iterdir()):
        name = path.name.partition("-" if path.suffix == ".dist-info" else ".")[0]
        if name in loaded or path.suffix == ".libs":
            found.append(path)
    return found


def copy_libraries(files: Iterable[str], folder: Path) -> None:
    """Copy loader and libraries.

    What is below Python's own folders is copied with those. Raises OSError.
    """
    (folder / "lib").mkdir(parents=True)
    for name in files:
        if is_loader(name):
            shutil.copy(os.path.realpath(name), folder / "loader")
        elif ".so" in name.rpartition("/")[2] and "site-packages" not in name and "lib-dynload" not in name:
            base = name.rpartition("/")[2]
            shutil.copy(name, folder / "lib" / base)
            for shorter in library_names(base):
                (folder / "lib" / shorter).symlink_to(base)


def copy_python(folder: Path) -> None:
    """Copy the interpreter and its standard library. Raises OSError."""
    standard = Path(sysconfig.get_path("stdlib"))
    ignored = shutil.ignore_patterns(*LEFT_OUT, "site-packages", "dist-packages", "config-*")
    shutil.copytree(standard, folder / "lib" / standard.name, ignore=ignored, dirs_exist_ok=True, ignore_dangling_symlinks=True)
    dynamic = Path(sysconfig.get_path("platstdlib")) / "lib-dynload"
    if dynamic.is_dir():
        shutil.copytree(dynamic, folder / "lib" / standard.name / "lib-dynload", dirs_exist_ok=True)
    (folder / "bin").mkdir()
    shutil.copy(os.path.realpath("/proc/self/exe"), folder / "bin/python3")


def copy_packages(folders: Iterable[Path], target: Path) -> None:
    """Copy the client's packages. Raises OSError."""
    target.mkdir(parents=True, exist_ok=True)
    for each in folders:
        if each.is_dir():
            shutil.copytree(each, target / each.name, ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True)
        else:
            shutil.copy(each, target / each.name)


def main(arguments: list[str]) -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="an empty folder that the engine's container has as well")
    parser.add_argument("--package", required=True, help="the client's package, as it is imported")
    parser.add_argument("--requirements", type=Path, required=True, help="what pip installs where the package isn't there")
    given = parser.parse_args(arguments)
    folder: Path = given.folder
    try:
        importlib.import_module(given.package)
    except ImportError as missing:
        problem = install(given.requirements, folder / "got")
        if problem:
            why = str(missing).strip().replace("\n", " ")
            say("fault", {"errno": "pip", "message": f"{problem}; the image's own could not be imported: {why}"})
            return 1
        sys.path.insert(0, str(folder / "got"))
        importlib.invalidate_caches()
    try:
        mapped = load(given.package)
        copy_libraries(mapped, folder)
        copy_python(folder)
        copy_packages(top_folders(given.package), folder / "packages")
        shutil.rmtree(folder / "got", ignore_errors=True)
    except OSError as problem:
        say("fault", {"errno": str(problem.errno), "message": str(problem)})
        return 1
    package = sys.modules[given.package]
    size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
    say("tools", {"python": platform.python_version(), given.package: getattr(package, "__version__", ""), "bytes": size})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
