"""Faults done to real files of a canary's volume, each the smallest of its kind, at a place that a
seed decides.
"""

from __future__ import annotations

import random
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

from components.canary import probe
from components.canary.profiles import PROFILES

Damage = Callable[[Path, random.Random], None]  # is given the canary's folder in the volume

DATA = [profile.file_of(profile.sync).name for profile in PROFILES.values()]  # each profile's file of entries in sequence


def sequence(folder: Path) -> Path:
    """The file with the entries in sequence."""
    return next(folder / name for name in DATA if (folder / name).exists())


def entries(path: Path) -> list[bytes]:
    """The whole entries of a file, in its order."""
    content, found, offset = path.read_bytes(), [], 0
    while offset < len(content):
        end = offset + probe.HEADER.size + probe.HEADER.unpack_from(content, offset)[4]
        found.append(content[offset:end])
        offset = end
    return found


def flip_one_bit(path: Path, random: random.Random) -> None:
    """Anywhere in the file."""
    with path.open("r+b") as file:
        offset = random.randrange(path.stat().st_size)
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << random.randrange(8)]))


def bit_in_a_page(folder: Path, random: random.Random) -> None:
    flip_one_bit(folder / "table.pages", random)


def bit_in_a_block(folder: Path, random: random.Random) -> None:
    flip_one_bit(folder / "stream.blocks", random)


def bit_in_a_text(folder: Path, random: random.Random) -> None:
    flip_one_bit(folder / "notes.txt", random)


def bit_in_an_entry(folder: Path, random: random.Random) -> None:
    flip_one_bit(sequence(folder), random)


def truncate(folder: Path, random: random.Random) -> None:
    """Cut off the end, in the middle of an entry."""
    path = sequence(folder)
    kept = entries(path)[: random.randrange(10, 90)]
    with path.open("r+b") as file:
        file.truncate(sum(map(len, kept)) + 20)


def lose_an_entry(folder: Path, random: random.Random) -> None:
    whole = entries(sequence(folder))
    del whole[random.randrange(1, len(whole) - 1)]
    sequence(folder).write_bytes(b"".join(whole))


def repeat_an_entry(folder: Path, random: random.Random) -> None:
    whole = entries(sequence(folder))
    at = random.randrange(len(whole))
    sequence(folder).write_bytes(b"".join([*whole[: at + 1], *whole[at:]]))


def swap_entries(folder: Path, random: random.Random) -> None:
    whole = entries(sequence(folder))
    one, other = random.sample(range(len(whole)), 2)
    whole[one], whole[other] = whole[other], whole[one]
    sequence(folder).write_bytes(b"".join(whole))


def turn_back_the_clock(folder: Path, random: random.Random) -> None:
    """One entry is an hour older than the one before it; its checksum fits."""
    whole = entries(sequence(folder))
    at = random.randrange(1, len(whole))
    magic, run, number, timestamp, length, _ = probe.HEADER.unpack_from(whole[at])
    payload = whole[at][probe.HEADER.size :]
    fields = (magic, run, number, timestamp - 3600 * 10**6, length)
    checksum = zlib.crc32(payload, zlib.crc32(probe.HEADER.pack(*fields, 0)))
    whole[at] = probe.HEADER.pack(*fields, checksum) + payload
    sequence(folder).write_bytes(b"".join(whole))


def lose_a_file(folder: Path, random: random.Random) -> None:
    sequence(folder).unlink()


def empty_volume(folder: Path, random: random.Random) -> None:
    """The volume is there, and nothing in it."""
    shutil.rmtree(folder)


def lose_the_directory(folder: Path, random: random.Random) -> None:
    """The volume's own directory is gone."""
    shutil.rmtree(folder.parent)
