"""The settings of a tier on local-path: the provisioner's parameters, typed."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from components.provisioners.base import TierParameters
from components.provisioners.codecs import Text

# local-path-provisioner 0.0.33 and newer refuse any other beginning (README, "pathPattern"): a
# volume's folder must not be reachable under another claim's name.
PATH_PATTERN_BEGINNING = "{{ .PVC.Namespace }}/{{ .PVC.Name }}/"
_EXAMPLE = PATH_PATTERN_BEGINNING + "{{ .PVName }}"


def _absolute_path(path: str) -> str:
    parts = path.split("/")
    if not path.startswith("/") or path.strip("/") == "" or ".." in parts or "." in parts:
        raise PydanticCustomError("rule", "not an absolute path")
    return path


def _path_pattern(text: str) -> str:
    from components.provisioners.go_template import TemplateError  # noqa: PLC0415 - 1 % of the program's start
    from components.provisioners.local_path.path_pattern import read_pattern  # noqa: PLC0415

    try:
        pattern = read_pattern(text)
    except TemplateError:
        raise PydanticCustomError("rule", "not a path pattern") from None
    if not pattern.begins or pattern.climbs:
        raise PydanticCustomError("rule", "not a path pattern")
    return text


class LocalPathParameters(TierParameters):
    """A tier's settings on local-path; both may be left out.

    They are for clusters whose provisioner is set up for them.
    """

    node_path: Annotated[
        str | None,
        Field(
            description="an absolute folder of the node without `.` and `..`, one of those in the provisioner's own nodePathMap",
            examples=["/var/local-path-provisioner"],
        ),
        Text(),
        AfterValidator(lambda path: path if path is None else _absolute_path(path)),
    ] = None
    path_pattern: Annotated[
        str | None,
        Field(
            description=f"a relative path that begins with `{PATH_PATTERN_BEGINNING}` and goes on "
            "(local-path-provisioner 0.0.33 and newer refuse any other), without `..`",
            examples=[_EXAMPLE],
        ),
        Text(empty=_EXAMPLE),
        AfterValidator(lambda pattern: pattern if pattern is None else _path_pattern(pattern)),
    ] = None
