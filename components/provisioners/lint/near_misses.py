"""Which parameter of a driver is meant by a key that it doesn't know.

Advice to leave such a key out would lose what it was to do: an encrypted volume, or its key.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache

from components.provisioners.base import FSTYPE
from components.provisioners.codecs import Codec, Numbered

_CLOSE = 0.75
# What people write, in lower case and without hyphens, and what drivers call it: the words of
# other drivers, of consoles and of Terraform.
_WORDS = (
    (r"(is)?encrypt(ed|ion|ing)?(enabled|atrest)?|enableencryption|(disk|volume)encrypt(ed|ion)", ("encrypted",)),
    (r"(\w*kms\w*|cmek\w*|(disk|volume)?encryption(key\w*)|keyarn|keyid)", ("kmsKeyId", "disk-encryption-kms-key")),
    (r"(\w*fstype|filesystem(type)?)", (FSTYPE,)),
    (r"(volume|disk|storage|ebs|pd)types?", ("type",)),
    (r"(provisioned|disk|volume|max|base)?iops(oncreate)?", ("iops", "provisioned-iops-on-create")),
    (
        r"(provisioned|disk|volume|max)?(throughput|bandwidth)(inmibps|mibps|mbps|oncreate)?",
        ("throughput", "provisioned-throughput-on-create"),
    ),
    (r"iops(per|/)?(gb|gib|gi|g)", ("iopsPerGB",)),
    (r"replication(mode|policy)?|regional(pd)?", ("replication-type",)),
    (r"(disk|volume|extra|resource)?labels?", ("labels",)),
    (r"(extra|volume|resource)?tags?(specifications?)?_?[0-9]*", ("tagSpecification",)),
)


def meant_by(key: str, known: Iterable[str], codecs: Mapping[str, Codec[object] | Numbered], present: Collection[str]) -> str | None:
    """The key that is meant; None where there is no telling, or where it is there already.

    `known` are the driver's single keys, `codecs` all of them, `present` those that the class has.
    """
    folded = _folded(key)
    names = {_folded(name): name for name in known}
    prefixes = [codec.prefix for codec in codecs.values() if isinstance(codec, Numbered)]
    wanted = [each for pattern, wanted in _WORDS if re.fullmatch(pattern, folded) for each in wanted]
    found = next((each for each in wanted if each in codecs or each in prefixes), None)
    if found is None and (close := _closest(folded, tuple(names))):
        found = names[close]
    if found in prefixes:
        return next(numbered for number in range(1, 1000) if (numbered := f"{found}_{number}") not in present)
    return None if found in present else found


def _folded(key: str) -> str:
    return re.sub("[-_. ]", "", key.lower())


@lru_cache(maxsize=256)
def _closest(folded: str, names: tuple[str, ...]) -> str | None:
    """The name that is like a key, which every remedy that is tried asks for again."""
    return next(iter(get_close_matches(folded, names, 1, _CLOSE)), None)
