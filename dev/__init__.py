"""The commands of a development machine, `python -m dev`: stacks, rehearsals, checks."""
