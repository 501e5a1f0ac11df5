"""Second half of the entry point: runs in the project's own environment, and answers Ctrl-C until the command line is loaded."""

from __future__ import annotations

from ops.interruption import end_at_once

if __name__ == "__main__":
    end_at_once()
    from ops import cli

    cli.main()
