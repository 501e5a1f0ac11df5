"""What a database or a broker writes at most to its volume, by its own settings.

postgresql.py and kafka.py have each engine's formula, with the source of every term.
file_systems.py has what a file system keeps for itself. budget.py holds the two against a claim.
Nothing here knows of Pulumi, of a cluster, or of how settings are written.
"""

from components.engines.budget import EngineBudget
from components.engines.file_systems import own_share

__all__ = ["EngineBudget", "own_share"]
