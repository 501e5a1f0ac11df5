"""What is wrong with the settings, in words: a problem names the setting, its value, the rule, and
a value that works.

The rule and the value that works are a field's own (`description`, `examples`), unless the check
that failed says more.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from components.provisioners import Numbered, codec_of, shown

# What stands for the value of a key that isn't there.
MISSING = "(missing)"

# What people write for true and false in YAML 1.1, or in other tools.
TRUTHS = {"true": "true", "yes": "true", "on": "true", "1": "true", "false": "false", "no": "false", "off": "false", "0": "false"}


class Problem(NamedTuple):
    """One wrong setting: its config path (as `pulumi config set --path` takes it), its value, the
    rule, and a value that works.
    """

    path: str
    value: str
    rule: str
    works: str

    def __str__(self) -> str:
        return f"{self.path}: {self.value}: {self.rule}. Works: {self.works}"


class SettingsError(Exception):
    """The settings can't be used; `problems` holds every reason."""

    def __init__(self, problems: Iterable[Problem], stack: str) -> None:
        self.problems = tuple(problems)
        self.stack = stack
        number = len(self.problems)
        title = f"{number} problem{'s' if number > 1 else ''} in the settings of stack {stack} (Pulumi.{stack}.yaml), nothing was changed:"
        super().__init__("\n".join([title, *(f"  {problem}" for problem in self.problems)]))


def nearest(word: str, known: Iterable[str]) -> str:
    """The one of `known` that `word` looks like, in any case of letters; ``""`` for none."""
    names = list(known)
    same = [name for name in names if name.lower() == word.lower()]
    return next(iter(same or difflib.get_close_matches(word, names, 1)), "")


def unknown_key(path: str, key: str, value: object, known: Iterable[str], why: str = "") -> Problem:
    """For a key that isn't among `known`; `why` is what more there is to say."""
    names = sorted(known)
    reason = f"; {why}" if why else ""
    rule = f"unknown key; known here: {', '.join(names) or 'none'}{reason}"
    return Problem(path, shown(value), rule, nearest(key, names) or f"without `{key}`")


def missing_key(path: str, field: FieldInfo) -> Problem:
    """For a key that must be there."""
    return Problem(path, MISSING, field.description or "", example(field))


def no_mapping(path: str, value: object, model: type[BaseModel], known: Iterable[str] = ()) -> Problem:
    """For a value that should be a mapping with the keys of `model`, and those that are `known`
    beside them.
    """
    names = ", ".join(f"`{name}`" for name in (*names_of(model), *known))
    needed = {field.alias or name: example(field) for name, field in model.model_fields.items() if field.is_required()}
    return Problem(path, shown(value), f"a mapping with {names}", "{" + ", ".join(f"{name}: {each}" for name, each in needed.items()) + "}")


def problem_of(
    error: ErrorDetails, model: type[BaseModel], below_path: str = "", known: Iterable[str] = (), why: Callable[[str], str] = lambda _: ""
) -> Problem:
    """An error of pydantic, of `model` at the path `below_path`, as a user should read it.

    `known` are keys of the model that are checked elsewhere; `why` says more about a key that the
    model doesn't have.
    """
    place = _place(error["loc"], model, below_path)
    value, field, context = error["input"], place.field, error.get("ctx") or {}
    if error["type"] == "extra_forbidden" or field is None:
        own = place.owner is model
        names = [*names_of(place.owner), *(known if own else ())]
        return unknown_key(place.path, place.key, value, names, why(place.key) if own else "")
    if error["type"] == "missing":
        return missing_key(place.path, field)
    if error["type"] == "model_type" and place.entry:
        return no_mapping(place.path, value, place.entry)
    rule, works = field.description or "", example(field)
    is_entry = get_origin(field.annotation) is dict and codec_of(field) is None  # of a mapping from free names to texts
    if error["type"] == "string_type" and isinstance(value, bool | int | float):
        numbered = isinstance(codec_of(field), Numbered)  # a tag is more than any text
        kind = "true or false" if isinstance(value, bool) else "a number"
        rule = f"{rule}; YAML reads it as {kind}, so it needs quotes"
        text = json.dumps(value)
        entry = {error["loc"][-1]: text} if is_entry else text
        works = f'"{text}"' if not numbered and _takes(place.owner, place.key, entry) else works
    elif error["type"] == "string_type" and value is None and is_entry:
        rule, works = f"{rule}; nothing after the colon", '""'
    elif place.path.endswith("]") and works.startswith("["):  # an entry of a list, whose example is a list of one
        works = works[1:-1]
    elif error["type"] == "int_type" and isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
        rule, works = f"{rule}; in quotes it is a text", value
    elif error["type"] == "bool_type" and str(value).lower() in TRUTHS:
        rule, works = f"{rule}; without quotes", TRUTHS[str(value).lower()]
    elif error["type"] == "literal_error":
        works = nearest(str(value), re.findall("[A-Za-z]+", str(context.get("expected", "")))) or works
    return Problem(place.path, shown(value), context.get("rule") or rule, context.get("works") or works)


class _Place(NamedTuple):
    """Where an error is: the config path.

    The last key that is a field's name, the model that has the field, and the field.

    `field` is None for a key that the `owner` doesn't know. `entry` is the model of an entry under
    a free name, where the path ends with that name.
    """

    path: str
    key: str
    owner: type[BaseModel]
    field: FieldInfo | None
    entry: type[BaseModel] | None


def _place(loc: tuple[int | str, ...], model: type[BaseModel], path: str) -> _Place:
    """The place of pydantic's `loc`, whose parts are field names, free names in a mapping, and
    numbers in a list.
    """
    place = _Place(path, "", model, None, None)
    inner: type[BaseModel] | None = model
    free = False
    for part in loc:
        if isinstance(part, int):
            place = _Place(f"{place.path}[{part}]", place.key, place.owner, place.field, None)
        elif part == "[key]":  # pydantic's word for the name itself, which is the part before
            continue
        elif free or inner is None:
            path = f'{place.path}["{part}"]' if "." in part or "/" in part else f"{place.path}.{part}"
            place = _Place(path, place.key, place.owner, place.field, inner)
            free = False
        else:
            field = next((field for name, field in inner.model_fields.items() if (field.alias or name) == part), None)
            numbered = field is not None and isinstance(codec_of(field), Numbered)
            place = _Place(place.path if numbered else below(place.path, part), part, inner, field, None)
            inner = inner_model(field) if field else None
            free = field is not None and get_origin(field.annotation) is dict
    return place


def below(path: str, key: str) -> str:
    """The config path of `key` below `path`.

    A key with a slash, `csi.storage.k8s.io/fstype`, has dots that separate nothing.
    """
    if "/" in key:
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def inner_model(field: FieldInfo) -> type[BaseModel] | None:
    """The model whose values a field has, by itself, optionally, or by free names.

    None for a field of plain values.
    """
    annotations = [field.annotation, *get_args(field.annotation)]
    return next((each for each in annotations if isinstance(each, type) and issubclass(each, BaseModel)), None)


def names_of(model: type[BaseModel]) -> list[str]:
    """The keys of a model, as they are written in a stack file."""
    return [field.alias or name for name, field in model.model_fields.items()]


def example(field: FieldInfo) -> str:
    """A value that works."""
    return str((field.examples or [""])[0])


def _takes(model: type[BaseModel], key: str, value: object) -> bool:
    try:
        model.model_validate({key: value})
    except ValidationError as errors:
        return not any(error["loc"][:1] == (key,) for error in errors.errors())
    return True
