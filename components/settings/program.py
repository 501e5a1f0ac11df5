"""The settings of the stack that Pulumi is running.

Apart from the rest, because it needs Pulumi's SDK, which takes half of the time in which a command
line that only reads settings is loaded.
"""

from __future__ import annotations

import pulumi

from components.settings.loading import load
from components.settings.models import Settings
from components.settings.problems import SettingsError


class RefusedByProgram(SettingsError, pulumi.RunError):
    """A SettingsError in Pulumi's program: Pulumi shows a RunError's text without a traceback."""


def load_from_pulumi() -> Settings:
    """The settings of the stack that Pulumi is running, with their warnings in its log.

    Raises RefusedByProgram.
    """
    try:
        settings = load(pulumi.runtime.config.get_config_env() | pulumi.runtime.config.CONFIG.get(), pulumi.get_stack())
    except SettingsError as refused:
        raise RefusedByProgram(refused.problems, refused.stack) from None
    for problem in settings.warnings:
        pulumi.log.warn(str(problem))
    return settings
