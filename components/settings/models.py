"""Every setting of a stack: its type, rule, default, and a value that works.

StackConfig is what a user writes in Pulumi.<stack>.yaml below `config:`. README's table and
Pulumi.yaml's descriptions are made from it (reference.py), and so are the error messages
(problems.py): a field's `description` is the rule that it must keep, the first of its `examples`
works. Settings is what the program gets: checked, with every default and name resolved.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PlainValidator

from components.kinds import KINDS, TierKind
from components.kube.quantity import Size
from components.provisioners import PROVISIONERS, Provisioner, TierParameters
from components.settings import engine_values, values
from components.settings.canary_limits import CanaryLimits
from components.settings.canary_pod import CanaryPod
from components.settings.engine import EngineSettings
from components.settings.engine_images import EngineImages
from components.settings.problems import Problem
from components.settings.section import More, Section

# What Pulumi.yaml gives `services` as its default. An explicit `{}` (no services) is allowed, but a
# key that was lost would plan the deletion of every claim: so the two must not look the same.
MISSING_SERVICES = {"(missing)": True}

# The probe needs Python 3.9 or newer and nothing else; this one runs as any user and comes with
# security updates.
DEFAULT_IMAGE = "docker.io/library/python:3.13-slim"
CANARY_ENDING = "-canary"


class ClusterSettings(Section):
    """Which cluster: the kube context to reach it, and a name for it that survives a renamed
    context.
    """

    context: Annotated[
        str,
        Field(description="the name of a context in the kubeconfig", examples=["storage-tiers-dev"]),
        AfterValidator(values.printable_name),
    ]
    identifier: Annotated[
        str,
        Field(
            description="a name of your own for this cluster; another one means another cluster, on which everything is made anew",
            examples=["storage-tiers-dev"],
        ),
        AfterValidator(values.printable_name),
        More("It stays when the context is renamed; another one is refused while claims hold data"),
    ]


class NamespaceSettings(Section):
    """Where the claims are, and whether this stack makes (and removes) that namespace."""

    name: Annotated[str, Field(description="the namespace of the claims", examples=["data"]), AfterValidator(values.namespace_name)] = (
        "data"
    )
    create: Annotated[
        bool,
        Field(description="true: the stack makes the namespace; false: it is there already", examples=["true"]),
        More("What the stack makes it also removes"),
    ] = True


class TierSettings(Section):
    """What every tier has, on whatever provisioner; the provisioner's own parameters are
    beside it.
    """

    kind: Annotated[
        str | None,
        BeforeValidator(values.kind),
        Field(description=f"what the tier is for: {' or '.join(KINDS)}", examples=list(KINDS)),
        More(
            "It decides the file system, how the tier is proven, and what its descriptions say. The tiers "
            f"{' and '.join(f'`{name}`' for name in KINDS)} have it by their name; for any other name it is required"
        ),
    ] = None


class ServiceSettings(Section):
    """One service and the volumes that it gets: `replicas` claims of `size` on `tier`."""

    tier: Annotated[str, Field(description="the name of one of the `tiers`", examples=["database"])]
    size: Annotated[Size, BeforeValidator(values.size), Field(description="the size of each volume, in Mi, Gi or Ti", examples=["5Gi"])]
    replicas: Annotated[
        int,
        Field(description=f"a whole number from 1 to {values.MOST_REPLICAS}, one claim each", examples=["3"]),
        AfterValidator(values.replicas),
        More("The claims are `data-<service>-0` and on"),
    ] = 1
    access_mode: Annotated[
        Literal["ReadWriteOnce", "ReadWriteOncePod"],
        Field(description="ReadWriteOnce or ReadWriteOncePod: a volume is used by one broker or database", examples=["ReadWriteOnce"]),
    ] = "ReadWriteOnce"
    restores: Annotated[
        int,
        Field(description=f"a whole number from 0 to {values.MOST_RESTORES}", examples=["1"]),
        AfterValidator(values.restores),
        More(
            "Room in the quota for so many copies of its volumes, restored from snapshots beside them. For a time. "
            "See [docs/recovery.md](docs/recovery.md)"
        ),
    ] = 0
    engine: Annotated[
        EngineSettings | None,
        BeforeValidator(engine_values.engine),
        Field(
            description="what runs on the volumes: a mapping with `postgresql` or `kafka`", examples=["{postgresql: {maxWalSize: 512Mi}}"]
        ),
        More("With it, what the engine writes at most is held against the size. See [docs/sizing.md](docs/sizing.md)"),
    ] = None


class CanarySettings(Section):
    """Whether and how each tier is proven before claims are made on it, and what it must
    measure.
    """

    enabled: Annotated[
        bool,
        Field(description="true: every tier is proven before claims are made on it", examples=["true"]),
        More("false: claims are made on tiers that nothing has shown to keep data"),
    ] = True
    image: Annotated[
        str,
        Field(description="an image with Python 3.9 or newer, which the cluster's nodes can pull or have", examples=[DEFAULT_IMAGE]),
        AfterValidator(values.image),
        More("The dev stack names one that `make up` makes"),
    ] = DEFAULT_IMAGE
    namespace: Annotated[
        Annotated[str, AfterValidator(values.namespace_name)] | None,
        Field(description="a namespace for the canary alone, which the stack makes and removes", examples=["data-canary"]),
        More(f"By default `<namespace>{CANARY_ENDING}`"),
    ] = None
    run: Annotated[
        int,
        Field(description=f"a whole number from 1 to {values.LARGEST_RUN}; another one runs the canaries again", examples=["2"]),
        AfterValidator(values.run),
        More("`pulumi config set --path canary.run 2` does it"),
    ] = 1
    limits: Annotated[
        dict[str, CanaryLimits],
        Field(description="a mapping from a tier's name to its limits", examples=["{database: {syncP99Ms: 10}}"]),
        More(
            "What the tier must measure to count as proven, as `{database: {syncP99Ms: 10}, streaming: {writeMBps: 80}}`; none by "
            "default. Those of an engine are held where one accepts the tier",
            "<tier>",
        ),
    ] = Field(default_factory=dict)
    pod: Annotated[
        CanaryPod,
        Field(description="a mapping with what the cluster asks of the canary's pods", examples=["{tolerations: [{operator: Exists}]}"]),
        More("See [docs/proof.md](docs/proof.md)"),
    ] = CanaryPod.model_construct()
    spread: Annotated[
        Literal["none", "zones", "nodes"] | None,
        Field(
            description="none, zones or nodes: a canary where the scheduler puts it, in each zone, or on each node where claims may land",
            examples=["nodes"],
        ),
        More("By default zones where the class names zones, else none"),
    ] = None
    engines: Annotated[
        EngineImages,
        Field(
            description="a mapping with the images of `python -m ops accept` and of live moves",
            examples=["{postgresql: docker.io/library/postgres:17}"],
        ),
        More("See [docs/accept.md](docs/accept.md)"),
    ] = EngineImages.model_construct()
    engine: Annotated[
        bool,
        Field(
            description="true: a real engine accepts each tier after its proof, before claims are made on it; only where `enabled` is true",
            examples=["false"],
        ),
        More("It takes minutes and the claims that [docs/accept.md](docs/accept.md) names"),
    ] = False


class StackConfig(Section):
    """Every key that the config of a stack may have, in the order in which problems are reported.

    `provisioner` and `protect` are texts in Pulumi's config, the others objects.
    """

    model_config = ConfigDict(frozen=False, validate_assignment=True)

    provisioner: Annotated[
        Provisioner[Any],
        PlainValidator(values.provisioner),
        Field(description=f"the storage driver of this stack; known: {', '.join(sorted(PROVISIONERS))}", examples=["local-path"]),
    ]
    cluster: Annotated[
        ClusterSettings,
        Field(
            title="which cluster",
            description="a mapping with `context` and `identifier`",
            examples=["{context: storage-tiers-dev, identifier: storage-tiers-dev}"],
        ),
    ]
    namespace: Annotated[
        NamespaceSettings,
        Field(
            title="where the claims are",
            description="a mapping with `name` and `create`",
            examples=["{name: data, create: true}"],
        ),
    ] = NamespaceSettings.model_construct()
    tiers: Annotated[
        dict[str, Any],
        Field(
            title="the storage tiers",
            description="a mapping from each tier's name to its parameters, with at least one tier",
            examples=["{database: {}, streaming: {}}"],
        ),
        More(
            "The class is `<tier>-<provisioner>`. Below each tier are its kind and the provisioner's own parameters, which "
            "[docs/provisioners.md](docs/provisioners.md) lists",
            "<tier>",
            TierSettings,
        ),
    ]
    services: Annotated[
        dict[str, ServiceSettings],
        Field(
            title="the services and their volumes",
            description="a mapping from each service's name to its `tier` and `size`; `{}` for none",
            examples=["{postgres: {tier: database, size: 5Gi}}"],
        ),
        More(names="<service>"),
    ]
    canary: Annotated[
        CanarySettings,
        Field(
            title="the proof of each tier before claims are made on it",
            description="a mapping with `enabled`, `image`, `namespace`, `run`, `limits`, `pod`, `spread`, `engines` and `engine`",
            examples=["{enabled: true}"],
        ),
        More("See [docs/proof.md](docs/proof.md)"),
    ] = CanarySettings.model_construct()
    adopt: Annotated[
        dict[
            str,
            Annotated[dict[str, Annotated[str, BeforeValidator(values.volume_reference)]], BeforeValidator(values.volumes_by_ordinal)],
        ],
        Field(
            title="old volumes for replicas that can't find theirs by themselves",
            description="a mapping from a service's name to its old volumes by ordinal; `{}` for none",
            examples=["{kafka: {1: pvc-…}}"],
        ),
        More("See [docs/recovery.md](docs/recovery.md)", "<service>.<ordinal>", values=values.VOLUME_REFERENCE_RULE),
    ] = Field(default_factory=dict)
    protect: Annotated[
        bool,
        BeforeValidator(values.switch),
        Field(description="true or false, without quotes", examples=["false"]),
        More("true: Pulumi refuses to delete or replace claims and namespace (for production)"),
    ] = False


KEYS = tuple(StackConfig.model_fields)


@dataclass(frozen=True)
class Tier:
    """A tier of the settings: what it is for, and the provisioner's own parameters, with the
    defaults for its kind.

    `class_name` is the name of its StorageClass, `<tier>-<provisioner>`.
    """

    name: str
    class_name: str
    kind: TierKind
    parameters: TierParameters


@dataclass(frozen=True)
class Settings:
    """All settings of a stack, checked. `tiers` and `services` are by name.

    `adopt` has the old volume to give to a service's replica, by service and ordinal; only `ops`
    and `dev` read it. `warnings` are about what works, but hardly as it is meant.
    """

    stack: str
    provisioner: Provisioner[Any]
    cluster: ClusterSettings
    namespace: NamespaceSettings
    tiers: Mapping[str, Tier]
    services: Mapping[str, ServiceSettings]
    canary: CanarySettings
    adopt: Mapping[str, Mapping[int, str]]
    protect: bool
    warnings: tuple[Problem, ...] = ()

    @property
    def limits(self) -> Mapping[str, Mapping[str, float]]:
        """The canary's limits by tier, each by its name in the settings.

        A tier without any isn't in it.
        """
        return {tier: limits.model_dump(by_alias=True, exclude_none=True) for tier, limits in self.canary.limits.items()}

    @property
    def canary_namespace(self) -> str:
        """Where the canaries run: their own namespace, whose name comes from that of the claims
        unless a setting names it.
        """
        return self.canary.namespace or f"{self.namespace.name}{CANARY_ENDING}"

    def access_mode_of(self, tier: str) -> str:
        """ReadWriteOncePod for a tier whose services all have that, else ReadWriteOnce."""
        modes = {service.access_mode for service in self.services.values() if service.tier == tier}
        return modes.pop() if len(modes) == 1 else "ReadWriteOnce"

    def smallest_bytes(self, tier: str, least: int) -> int:
        """The smallest size of `least` bytes or more that a volume of the tier can have.

        `least` where the rules leave none.
        """
        sizes = [service.size for service in self.services.values() if service.tier == tier]
        return self.provisioner.smallest_bytes(self.tiers[tier].parameters, least, sizes) or least
