"""Second half of the entry point: answers Ctrl-C until the command line is loaded.

It runs in the project's own environment.
"""

from __future__ import annotations

from ops.interruption import end_at_once

if __name__ == "__main__":
    end_at_once()
    from ops import cli

    cli.main()
