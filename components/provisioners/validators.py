"""What the settings take beside their typed values, because people and drivers write it so."""

from __future__ import annotations

import re


def number_as_text(value: object) -> object:
    """For settings that are texts to the driver and numbers to people: 4096 as well as "4k".

    True and false are no numbers.
    """
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def in_mib(value: object) -> object:
    """For settings in MiB: 250 and, as the driver's documentation has it, "250Mi"."""
    match = re.fullmatch("([0-9]{1,9})Mi", value) if isinstance(value, str) else None
    return int(match[1]) if match else value


def in_gib(value: object) -> object:
    """For settings in GiB: 100 and, as the driver's documentation has it, "100Gi"."""
    match = re.fullmatch("([0-9]{1,9})Gi", value) if isinstance(value, str) else None
    return int(match[1]) if match else value


def gather_numbered(values: object, prefix: str, name: str) -> object:
    """A mapping whose keys that begin with `prefix` are put together under `name`.

    For a Numbered field; a key that is `name` itself is one of them.
    """
    if not isinstance(values, dict):
        return values
    own = {key: value for key, value in values.items() if isinstance(key, str) and key.startswith(prefix)}
    return {**{key: value for key, value in values.items() if key not in own}, **({name: own} if own else {})}
