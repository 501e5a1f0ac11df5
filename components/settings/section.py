"""What the models of the settings are made of."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class More(NamedTuple):
    """What the reference says of a field beyond its rule, and no error message needs.

    `names` is what the free names below a mapping stand for, as `<tier>`. What is below each of
    them is a `model` where the field's type doesn't say so, or a text: `values` is then its rule.
    """

    text: str = ""
    names: str = ""
    model: type[BaseModel] | None = None
    values: str = ""


class Section(BaseModel):
    """Base of the settings' parts: no unknown keys, no silent conversion of types, never changed
    after loading.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, arbitrary_types_allowed=True, defer_build=True
    )
