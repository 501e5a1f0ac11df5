"""The settings of a stack: typed, complete, and checked in one place before the first resource is
declared.

Pulumi's engine checks the types of the top-level keys (Pulumi.yaml), one problem at a time, and
lets unknown keys pass. Here everything is checked, and every problem is reported at once.

models.py has every setting, canary_pod.py and canary_limits.py those of the canary. values.py and
pod_values.py say what single values must be, section.py what the models are made of. engine.py and
engine_values.py are those of what runs on the volumes, which budgets.py holds against their sizes.
loading.py makes Settings of a stack's config, program.py of that of the stack that Pulumi is
running. problems.py says what is wrong with it, reference.py writes README's table and
Pulumi.yaml's descriptions.
"""

from components.settings.budgets import WHAT_HAPPENS, budget_of, file_system_of
from components.settings.canary_limits import CanaryLimits
from components.settings.canary_pod import CanaryPod, PodResources, SecretReference, Toleration
from components.settings.engine import EngineSettings, KafkaEngine, PostgresqlEngine
from components.settings.engine_images import EngineImages
from components.settings.loading import load
from components.settings.models import (
    DEFAULT_IMAGE,
    KEYS,
    MISSING_SERVICES,
    CanarySettings,
    ClusterSettings,
    NamespaceSettings,
    ServiceSettings,
    Settings,
    StackConfig,
    Tier,
    TierSettings,
)
from components.settings.problems import Problem, SettingsError, inner_model
from components.settings.values import (
    LONGEST_SERVICE,
    NEW_VOLUME,
    VOLUME_REFERENCE_RULE,
    is_volume_reference,
    label_problem,
    split_volume_reference,
)

__all__ = [
    "DEFAULT_IMAGE",
    "KEYS",
    "LONGEST_SERVICE",
    "MISSING_SERVICES",
    "NEW_VOLUME",
    "VOLUME_REFERENCE_RULE",
    "WHAT_HAPPENS",
    "CanaryLimits",
    "CanaryPod",
    "CanarySettings",
    "ClusterSettings",
    "EngineImages",
    "EngineSettings",
    "KafkaEngine",
    "NamespaceSettings",
    "PodResources",
    "PostgresqlEngine",
    "Problem",
    "SecretReference",
    "ServiceSettings",
    "Settings",
    "SettingsError",
    "StackConfig",
    "Tier",
    "TierSettings",
    "Toleration",
    "budget_of",
    "file_system_of",
    "inner_model",
    "is_volume_reference",
    "label_problem",
    "load",
    "split_volume_reference",
]
