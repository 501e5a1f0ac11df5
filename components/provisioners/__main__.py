"""`python -m components.provisioners check`: checks StorageClasses in files.

It needs no cluster, stack or engine.
"""

from __future__ import annotations

import gc
import os

if __name__ == "__main__":
    # One short run: what it makes is needed until its end, and looking for garbage costs a third of
    # the time. Nor has Pydantic any plugins here, and looking for them takes another 0.02 s.
    gc.disable()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

import sys
from collections.abc import Sequence

import click

from components.kube.quantity import Size, SizeError
from components.provisioners.lint import output
from components.provisioners.lint.run import FileResult, check_file, exit_status, fix_file, without_classes


class _SizeType(click.ParamType[Size]):
    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Size:
        """A text such as 5Gi."""
        try:
            return value if isinstance(value, Size) else Size.parse(str(value))
        except SizeError as problem:
            self.fail(f"{problem.text}: {problem.rule}. Works: {problem.works}", param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """What the provisioners of this project know, for StorageClasses of any origin."""


@main.command("check")
@click.argument("files", nargs=-1, required=True, metavar="FILE")
@click.option(
    "--size", "sizes", type=_SizeType(), multiple=True, help="A size that volumes of the class will have, such as 5Gi; may be repeated."
)
@click.option("--json", "json_wanted", is_flag=True, help="The findings as JSON, for programs.")
@click.option(
    "--fix",
    "fix_wanted",
    is_flag=True,
    help="Print the manifests with what can be mended without a change of meaning; what was changed and what is left is told on "
    "standard error.",
)
def check_command(files: Sequence[str], sizes: Sequence[Size], json_wanted: bool, fix_wanted: bool) -> None:
    """Check the StorageClasses in each FILE (`-` for standard input), for example
    `kubectl get storageclass -o yaml | … check - --size 5Gi`.

    Exit status, the first that applies: 2: wrong usage, a file that can't be read, or no
    StorageClass at all; 1: errors; 3: a class whose provisioner isn't known here; 0: nothing of
    these, perhaps warnings.
    """
    if json_wanted and fix_wanted:
        raise click.UsageError("either --json or --fix: both write to standard output")
    results = without_classes([(fix_file if fix_wanted else check_file)(name, sizes) for name in files])
    _write(results, sizes, json_wanted, fix_wanted)
    sys.exit(exit_status(results))


def _write(results: Sequence[FileResult], sizes: Sequence[Size], json_wanted: bool, fix_wanted: bool) -> None:
    if json_wanted:
        output.write_json(results)
    elif fix_wanted:
        output.write_fixed(results)
    else:
        output.show(results, sizes)


if __name__ == "__main__":
    try:
        main(prog_name="python -m components.provisioners")
    finally:
        gc.freeze()  # or Python looks for garbage once more as it ends
