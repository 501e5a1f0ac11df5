"""Runs a Pulumi program in the project's own interpreter.

Started by language_python.py, needs the `pulumi` package only.

Exit status: 0 when the program ran, 32 when it failed and the user has been shown why, 1 for an
error that Pulumi raised on purpose (RunError), else what the program exited with. The numbers are
those of the official host, and mean the same to it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

SHOWN_TO_THE_USER = 32


def user_traceback(problem: BaseException, program: str) -> str:
    """The traceback of `problem` from the program's own first line on: the frames before it are
    Pulumi's."""
    home = os.path.abspath(program)  # noqa: PTH100 - compared with the names that runpy gives to code, which resolve nothing
    starts = {home, os.path.join(home, "__main__.py")}  # noqa: PTH118
    entry = problem.__traceback__
    while entry is not None and os.path.abspath(entry.tb_frame.f_code.co_filename) not in starts:  # noqa: PTH100
        entry = entry.tb_next
    return "".join(traceback.format_exception(type(problem), problem, entry or problem.__traceback__))


def main() -> int:
    """Run the program that the command line names; returns the exit status."""
    gc.disable()  # loading makes no garbage, and looking for it takes a third as long again
    try:
        import pulumi  # noqa: PLC0415 - its absence is the project's fault, to be explained
        import pulumi.runtime  # noqa: PLC0415
    except ImportError:
        traceback.print_exc()
        print(
            f"\nThe pulumi package is not installed in this project's Python environment ({sys.prefix}).\n"
            "Run `pulumi install`, or install the project's requirements.txt there.",
            file=sys.stderr,
        )
        return 1
    finally:
        gc.freeze()
        gc.enable()
    parser = argparse.ArgumentParser()
    for name in ("project", "root_directory", "stack", "parallel", "dry_run", "pwd", "monitor", "engine", "organization"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("program")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    given = parser.parse_args()

    pulumi.runtime.set_all_config(pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env())
    parallel = int(given.parallel or 1)
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            project=given.project,
            stack=given.stack,
            monitor=given.monitor,
            engine=given.engine,
            parallel=parallel,
            dry_run=given.dry_run == "true",
            organization=given.organization,
            root_directory=given.root_directory,
        )
    )
    sys.argv = [given.program, *given.arguments]
    if given.pwd:
        os.chdir(given.pwd)

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(max_workers=max(parallel, 1) * 4)
    loop.set_default_executor(executor)
    # A program that fails leaves futures that nobody will await; asyncio's complaints about them
    # would hide the real error.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(lambda: run(given.program)))
    except pulumi.RunError as problem:
        pulumi.log.error(str(problem))
        return 1
    except Exception as problem:
        shown = user_traceback(problem, given.program)
        pulumi.log.error(f"Program failed with an unhandled exception:\n{shown}")
        return SHOWN_TO_THE_USER
    finally:
        executor.shutdown(wait=True)
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def run(program: str) -> None:
    """Run the file, or the folder's `__main__.py`, as if by `python <program>`."""
    if os.path.isdir(program) and not os.path.isfile(os.path.join(program, "__main__.py")):  # noqa: PTH112, PTH113, PTH118
        import pulumi  # noqa: PLC0415

        raise pulumi.RunError(f"unable to find main python program `__main__.py` in `{os.path.abspath(program)}`")  # noqa: PTH100
    if os.path.isfile(program):  # noqa: PTH113
        sys.path[0] = os.path.dirname(os.path.abspath(program))  # noqa: PTH100, PTH120
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    sys.exit(main())
