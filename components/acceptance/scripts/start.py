"""What a pod runs: the main function of the script that is named first.

It is `__main__.py` beside a folder `scripts` there, so that the scripts find one another.
"""

import sys
from importlib import import_module

if __name__ == "__main__":
    sys.exit(import_module(f"scripts.{sys.argv[1]}").main(sys.argv[2:]))
