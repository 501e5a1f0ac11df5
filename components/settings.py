"""The settings of a stack: typed, complete, and checked in one place before the first resource is declared.

Pulumi's engine checks the types of the top-level keys (Pulumi.yaml), one problem at a time, and lets unknown keys pass.
Here everything is checked, and every problem is reported at once.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import pulumi
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from components.kinds import KINDS, TierKind
from components.kube.labels import PROJECT
from components.kube.quantity import Size, SizeError
from components.provisioners import PROVISIONERS, Provisioner, TierParameters, Volume, class_name, finding, why_refused
from components.provisioners.forms import Numbered, form_of

# What Pulumi.yaml gives `services` as its default. An explicit `{}` (no services) is allowed, but a key that was lost would
# plan the deletion of every claim: so the two must not look the same.
MISSING_SERVICES = {"(missing)": True}

# RFC 1123 labels as Kubernetes checks them; beginning with a letter, because a Service of that name must (RFC 1035).
_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LONGEST_LABEL = 63

# A StatefulSet puts `<name>-<hash of ten characters>` into a label of its pods, which ends at 63 (kubernetes#64023). The
# claim's name, `data-<service>-<ordinal>`, then stays within 63 as well.
LONGEST_SERVICE = LONGEST_LABEL - 11

# No rule of Kubernetes: each replica is a claim and a resource of the stack, and a slip of the finger must not make a
# million of them.
MOST_REPLICAS = 1000

# The probe needs Python 3.9 or newer and nothing else; this one runs as any user and comes with security updates.
DEFAULT_IMAGE = "docker.io/library/python:3.13-slim"
CANARY_ENDING = "-canary"

# How the setting `adopt` names a volume. A PersistentVolume's name is a DNS subdomain (RFC 1123).
NEW_VOLUME = "new"
VOLUME_REFERENCE_RULE = (
    "an old volume: the name of a PersistentVolume, an absolute path on its node, an EBS volume (vol-… or aws://<zone>/vol-…), "
    "a disk of Google Cloud (projects/…/disks/…), or `new` for an empty one"
)
_VOLUME_REFERENCES = (
    re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"),
    re.compile(r"(/(?!\.{1,2}(/|$))[^/\x00-\x1f]+)+"),
    re.compile(r"aws://[a-z0-9-]+/vol-[0-9a-f]+"),
    re.compile(r"projects/[^/\s]+/(zones|regions)/[^/\s]+/disks/[^/\s]+"),
)

M = TypeVar("M", bound=BaseModel)
shown = finding.shown


@dataclass(frozen=True)
class Problem:
    """One wrong setting: its config path (as `pulumi config set --path` takes it), its value, the rule, and a value that works."""

    path: str
    value: str
    rule: str
    works: str

    def __str__(self) -> str:
        return f"{self.path}: {self.value}: {self.rule}. Works: {self.works}"


class SettingsError(pulumi.RunError):
    """The settings can't be used; `problems` holds every reason. Pulumi shows a RunError's text without a traceback."""

    def __init__(self, problems: Iterable[Problem], stack: str) -> None:
        self.problems = tuple(problems)
        self.stack = stack
        number = len(self.problems)
        title = f"{number} problem{'s' if number > 1 else ''} in the settings of stack {stack} (Pulumi.{stack}.yaml), nothing was changed:"
        super().__init__("\n".join([title, *(f"  {problem}" for problem in self.problems)]))


def _rule(holds: bool, rule: str = "", works: str = "") -> None:
    """Raise for a value that does not hold; without `rule` and `works` the field's description and example are shown."""
    if not holds:
        raise PydanticCustomError("rule", "rule", {"rule": rule, "works": works})


def _printable_name(name: str) -> str:
    _rule(bool(name) and name == name.strip() and name.isprintable())
    return name


def label_problem(name: str, longest: int = LONGEST_LABEL) -> tuple[str, str] | None:
    """The rule that `name` breaks as the first part of Kubernetes names, and the nearest name that works; None for a good one."""
    if _LABEL.fullmatch(name) and len(name) <= longest:
        return None
    nearest = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    nearest = re.sub(r"^[0-9-]+", "", nearest)[:longest].rstrip("-") or "my-name"
    return (
        f"a name is lower-case letters, digits and hyphens, begins with a letter, ends with a letter or digit, at most {longest} long",
        nearest,
    )


def _namespace_name(name: str) -> str:
    problem = label_problem(name)
    if problem:
        _rule(False, *problem)
    reserved = name == "default" or name.startswith("kube-")
    _rule(not reserved, "`default` and `kube-…` are Kubernetes' own; the claims get a namespace of their own", "data")
    return name


def is_volume_reference(text: str) -> bool:
    """Whether `text` has one of the forms that the setting `adopt` takes."""
    return any(form.fullmatch(text) for form in _VOLUME_REFERENCES)


def _size(value: object) -> Size:
    if isinstance(value, Size):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        return Size.parse(text)
    except SizeError as problem:
        raise PydanticCustomError("rule", "size", {"rule": problem.rule, "works": problem.works}) from None


def _replicas(number: int) -> int:
    _rule(1 <= number <= MOST_REPLICAS, works="1" if number < 1 else str(MOST_REPLICAS))
    return number


def _image(reference: str) -> str:
    _rule(bool(reference) and reference.isascii() and reference.isprintable() and " " not in reference and reference[0].isalnum())
    return reference


def _run(number: int) -> int:
    _rule(1 <= number <= LARGEST_RUN, works="1" if number < 1 else str(LARGEST_RUN))
    return number


def _limit(number: float | None) -> float | None:
    _rule(number is None or (math.isfinite(number) and number > 0))
    return number


LARGEST_RUN = 10**9  # no rule of anything: it stays a whole number on its way through JSON and YAML


class Section(BaseModel):
    """Base of the settings' parts: no unknown keys, no silent conversion of types, never changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel, arbitrary_types_allowed=True)


class ClusterSettings(Section):
    """Which cluster: the kube context to reach it, and a name for it that survives a renamed context."""

    context: Annotated[
        str, Field(description="the name of a context in the kubeconfig", examples=["storage-tiers-dev"]), AfterValidator(_printable_name)
    ]
    identifier: Annotated[
        str,
        Field(
            description="a name of your own for this cluster; another one means another cluster, on which everything is made anew",
            examples=["storage-tiers-dev"],
        ),
        AfterValidator(_printable_name),
    ]


class NamespaceSettings(Section):
    """Where the claims are, and whether this stack makes (and removes) that namespace."""

    name: Annotated[str, Field(description="the namespace of the claims", examples=["data"]), AfterValidator(_namespace_name)] = "data"
    create: Annotated[bool, Field(description="true: the stack makes the namespace; false: it is there already", examples=["true"])] = True


class ServiceSettings(Section):
    """One service and the volumes that it gets: `replicas` claims of `size` on `tier`."""

    tier: Annotated[str, Field(description="the name of one of the `tiers`", examples=["database"])]
    size: Annotated[Size, BeforeValidator(_size), Field(description="the size of each volume, in Mi, Gi or Ti", examples=["5Gi"])]
    replicas: Annotated[
        int, Field(description=f"a whole number from 1 to {MOST_REPLICAS}, one claim each", examples=["3"]), AfterValidator(_replicas)
    ] = 1
    access_mode: Annotated[
        Literal["ReadWriteOnce", "ReadWriteOncePod"],
        Field(description="ReadWriteOnce or ReadWriteOncePod: a volume is used by one broker or database", examples=["ReadWriteOnce"]),
    ] = "ReadWriteOnce"


class CanarySettings(Section):
    """Whether and how each tier is proven before claims are made on it; `limits` are checked apart (see CanaryLimits)."""

    enabled: Annotated[bool, Field(description="true: every tier is proven before claims are made on it", examples=["true"])] = True
    image: Annotated[
        str,
        Field(description="an image with Python 3.9 or newer, which the cluster's nodes can pull or have", examples=[DEFAULT_IMAGE]),
        AfterValidator(_image),
    ] = DEFAULT_IMAGE
    namespace: Annotated[
        str | None,
        Field(description="a namespace for the canary alone, which the stack makes and removes", examples=["data-canary"]),
        AfterValidator(lambda name: name if name is None else _namespace_name(name)),
    ] = None
    run: Annotated[
        int,
        Field(description=f"a whole number from 1 to {LARGEST_RUN}; another one runs the canaries again", examples=["2"]),
        AfterValidator(_run),
    ] = 1


class CanaryLimits(Section):
    """What a tier's canary must measure, or the tier counts as not proven."""

    sync_p50_ms: Annotated[
        float | None,
        Field(alias="syncP50Ms", description="the longest median sync, in milliseconds above 0", examples=["5"]),
        AfterValidator(_limit),
    ] = None
    sync_p95_ms: Annotated[
        float | None,
        Field(alias="syncP95Ms", description="the longest sync but 5 in 100, in milliseconds above 0", examples=["10"]),
        AfterValidator(_limit),
    ] = None
    sync_p99_ms: Annotated[
        float | None,
        Field(alias="syncP99Ms", description="the longest sync but 1 in 100, in milliseconds above 0", examples=["10"]),
        AfterValidator(_limit),
    ] = None
    write_mbps: Annotated[
        float | None,
        Field(alias="writeMBps", description="the least MB (10^6 bytes) written and synced in a second, above 0", examples=["80"]),
        AfterValidator(_limit),
    ] = None
    write_iops: Annotated[
        float | None,
        Field(alias="writeIOPS", description="the fewest writes, each with its sync, in a second, above 0", examples=["100"]),
        AfterValidator(_limit),
    ] = None


@dataclass(frozen=True)
class Tier:
    """A tier of the settings: what it is for, and the provisioner's own parameters, with the defaults for its kind.

    `class_name` is the name of its StorageClass, `<tier>-<provisioner>`.
    """

    name: str
    class_name: str
    kind: TierKind
    parameters: TierParameters


@dataclass(frozen=True)
class Settings:
    """All settings of a stack, checked. `tiers` and `services` are by name.

    `limits` has the canary's limits by tier, each by its name in the settings; a tier without any isn't in it. `adopt` has the
    old volume to give to a service's replica, by service and ordinal; only `ops` and `dev` read it. `warnings` are
    about what works, but hardly as it is meant.
    """

    stack: str
    provisioner: Provisioner[Any]
    cluster: ClusterSettings
    namespace: NamespaceSettings
    tiers: Mapping[str, Tier]
    services: Mapping[str, ServiceSettings]
    canary: CanarySettings
    limits: Mapping[str, Mapping[str, float]]
    adopt: Mapping[str, Mapping[int, str]]
    protect: bool
    warnings: tuple[Problem, ...] = ()

    @property
    def canary_namespace(self) -> str:
        """Where the canaries run: their own namespace, whose name comes from that of the claims unless a setting names it."""
        return self.canary.namespace or f"{self.namespace.name}{CANARY_ENDING}"

    def smallest_bytes(self, tier: str, least: int) -> int:
        """The smallest size of `least` bytes or more that a volume of the tier can have; `least` where the rules leave none."""
        sizes = [service.size for service in self.services.values() if service.tier == tier]
        return self.provisioner.smallest_bytes(self.tiers[tier].parameters, least, sizes) or least


KEYS = ("provisioner", "cluster", "namespace", "tiers", "services", "canary", "adopt", "protect")
_KEY_RULES = {
    "provisioner": ("the storage driver of this stack", "local-path"),
    "cluster": ("a mapping with `context` and `identifier`", "{context: storage-tiers-dev, identifier: storage-tiers-dev}"),
    "namespace": ("a mapping with `name` and `create`", "{name: data, create: true}"),
    "tiers": ("a mapping from each tier's name to its parameters, with at least one tier", "{database: {}, streaming: {}}"),
    "services": ("a mapping from each service's name to its `tier` and `size`; `{}` for none", "{postgres: {tier: database, size: 5Gi}}"),
    "canary": ("a mapping with `enabled`, `image`, `namespace`, `run` and `limits`", "{enabled: true}"),
    "adopt": ("a mapping from a service's name to its old volumes by ordinal; `{}` for none", "{kafka: {1: pvc-…}}"),
    "protect": ("true or false, without quotes", "false"),
}


def load(raw: Mapping[str, str], stack: str) -> Settings:
    """The settings in `raw`, a config map as Pulumi's runtime has it: full keys (`storage-tiers:tiers`), objects as JSON text.

    Keys of other namespaces are other programs' and are left alone. Raises SettingsError with every problem there is.
    """
    return _Loader(raw, stack).load()


def load_from_pulumi() -> Settings:
    """The settings of the stack that Pulumi is running, with their warnings in its log; raises SettingsError."""
    settings = load(pulumi.runtime.config.get_config_env() | pulumi.runtime.config.CONFIG.get(), pulumi.get_stack())
    for problem in settings.warnings:
        pulumi.log.warn(str(problem))
    return settings


class _Loader:
    """Goes through all settings once and collects what is wrong on the way."""

    def __init__(self, raw: Mapping[str, str], stack: str) -> None:
        self.stack = stack
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        prefix = f"{PROJECT}:"
        self.raw = {key.removeprefix(prefix): value for key, value in raw.items() if key.startswith(prefix)}

    def load(self) -> Settings:
        self._stack_name()
        for key in self.raw:
            if key not in KEYS:
                self._unknown(key, self.raw[key], key, KEYS)
        provisioner = self._provisioner()
        cluster = self._section("cluster", self._mapping("cluster"), ClusterSettings)
        namespace = self._section("namespace", self._mapping("namespace", {}), NamespaceSettings)
        tiers = self._tiers(provisioner)
        services = self._services(tiers, provisioner)
        if provisioner:
            self._rules(provisioner, tiers, services)
        canary, limits = self._canary(namespace, tiers)
        adopt = self._adopt(services)
        protect = self._protect()
        if self.problems or provisioner is None or cluster is None or namespace is None or canary is None:
            raise SettingsError(self.problems, self.stack)
        return Settings(
            stack=self.stack,
            provisioner=provisioner,
            cluster=cluster,
            namespace=namespace,
            tiers={name: tier for name, tier in tiers.items() if tier is not None},
            services=services,
            canary=canary,
            limits=limits,
            adopt=adopt,
            protect=protect,
            warnings=tuple(self.warnings),
        )

    def _add(self, path: str, value: object, rule: str, works: str) -> None:
        self.problems.append(Problem(path, value if isinstance(value, str) else shown(value), rule, works))

    def _unknown(self, path: str, value: object, key: str, known: Iterable[str], why: str = "") -> None:
        known = sorted(known)
        near = [name for name in known if name.lower() == key.lower()] or difflib.get_close_matches(key, known, 1)
        reason = f"; {why}" if why else ""
        rule = f"unknown key; known here: {', '.join(known) or 'none'}{reason}"
        self._add(path, shown(value), rule, near[0] if near else f"without `{key}`")

    def _stack_name(self) -> None:
        # It becomes the value of the label app.kubernetes.io/instance; Pulumi itself allows more.
        if not re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", self.stack):
            rule = "a stack's name becomes a Kubernetes label: at most 63 letters, digits, `-`, `_`, `.`, a letter or digit at both ends"
            self._add("stack", shown(self.stack), rule, re.sub(r"^[^A-Za-z0-9]+", "", self.stack)[:63].rstrip("-_.") or "dev")

    def _provisioner(self) -> Provisioner[Any] | None:
        name = self.raw.get("provisioner", "")
        rule, works = _KEY_RULES["provisioner"]
        if name in PROVISIONERS:
            return PROVISIONERS[name]
        known = f"{rule}; known: {', '.join(sorted(PROVISIONERS))}"
        near = difflib.get_close_matches(name, PROVISIONERS, 1)
        self._add("provisioner", shown(name) if name else "(missing)", known, near[0] if near else works)
        return None

    def _mapping(self, key: str, default: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """The object at a top-level key; None where it is missing or something else, which is then reported."""
        rule, works = _KEY_RULES[key]
        text = self.raw.get(key)
        if text is None and default is not None:
            return default
        if text is None:
            self._add(key, "(missing)", rule, works)
            return None
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        if key == "services" and value == MISSING_SERVICES:
            self._add(key, "(missing)", rule, works)
            return None
        if not isinstance(value, dict):
            self._add(key, shown(value), rule, works)
            return None
        return value

    def _section(
        self, path: str, value: object, model: type[M], refused: Callable[[str], str] = lambda _: "", known: Iterable[str] = ()
    ) -> M | None:
        """`value` as a `model`; None where it isn't one, with all reasons reported. `known` are keys that are checked elsewhere."""
        if value is None and "." not in path:  # a missing top-level key, reported already
            return None
        if not isinstance(value, dict):
            names = ", ".join(f"`{name}`" for name in (*known, *_names(model)))
            self._add(path, shown(value), f"a mapping with {names}", _example(model))
            return None
        try:
            return model.model_validate(value)
        except ValidationError as errors:
            for error in errors.errors(include_url=False):
                self._report(path, error, model, refused, known)
            return None

    def _report(
        self, section: str, error: ErrorDetails, model: type[BaseModel], refused: Callable[[str], str], known: Iterable[str]
    ) -> None:
        path, key, owner, field = _place(section, error["loc"], model)
        value = error["input"]
        if field is None:
            own = owner is model
            self._unknown(path, value, key, [*_names(owner), *(known if own else ())], refused(key) if own else "")
            return
        rule, works = field.description or "", str((field.examples or [""])[0])
        context = error.get("ctx") or {}
        if error["type"] == "missing":
            self._add(path, "(missing)", rule, works)
            return
        if error["type"] == "string_type" and isinstance(value, bool | int | float):
            numbered = isinstance(form_of(field), Numbered)  # a tag is more than any text
            kind = "true or false" if isinstance(value, bool) else "a number"
            rule = f"{rule}; YAML reads it as {kind}, so it needs quotes"
            works = f'"{json.dumps(value)}"' if not numbered and _takes(owner, key, json.dumps(value)) else works
        elif error["type"] == "int_type" and isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
            rule, works = f"{rule}; in quotes it is a text", value
        elif error["type"] == "bool_type" and str(value).lower() in _BOOLEANS:
            rule, works = f"{rule}; without quotes", _BOOLEANS[str(value).lower()]
        elif error["type"] == "literal_error":
            works = (difflib.get_close_matches(str(value), re.findall("[A-Za-z]+", str(context.get("expected", ""))), 1) or [works])[0]
        self._add(path, shown(value), context.get("rule") or rule, context.get("works") or works)

    def _tiers(self, provisioner: Provisioner[Any] | None) -> dict[str, Tier | None]:
        """Each tier, None for a wrong one; its name still counts as known to the services."""
        value = self._mapping("tiers")
        if value == {}:
            self._add("tiers", "(missing)", *_KEY_RULES["tiers"])
        tiers: dict[str, Tier | None] = {}
        for name, wanted in (value or {}).items():
            # The class is `<tier>-<provisioner>`, and labels carry it.
            problem = label_problem(name, LONGEST_LABEL - 1 - len(provisioner.name if provisioner else "local-path"))
            if problem:
                self._add(f"tiers.{name}", shown(name), f"{problem[0]}, because the class is named `<tier>-<provisioner>`", problem[1])
            tiers[name] = self._tier(name, wanted, provisioner)
        return tiers

    def _tier(self, name: str, wanted: object, provisioner: Provisioner[Any] | None) -> Tier | None:
        path = f"tiers.{name}"
        if not isinstance(wanted, dict):
            keys = ", ".join(f"`{key}`" for key in ("kind", *(_names(provisioner.parameters_model) if provisioner else ())))
            self._add(path, shown(wanted), f"a mapping with {keys}", "{}" if name in KINDS else f"{{kind: {next(iter(KINDS))}}}")
            return None
        for key in [key for key, value in wanted.items() if value is None]:
            works = f"a value, or without `{key}`" if key != "kind" or name in KINDS else next(iter(KINDS))
            self._add(f"{path}.{key}", None, "nothing after the colon", works)
        kind = self._kind(name, wanted)
        if provisioner is None:
            return None
        # Of a wrong kind all other keys are checked as well.
        defaults = provisioner.defaults(kind or next(iter(KINDS.values())))
        own = {key: value for key, value in wanted.items() if value is not None and key != "kind"}
        why = partial(why_refused, provisioner.name)
        parameters = self._section(path, {**defaults, **own}, provisioner.parameters_model, why, known=("kind",))
        return Tier(name, class_name(name, provisioner.name), kind, parameters) if kind and parameters is not None else None

    def _kind(self, tier: str, wanted: Mapping[str, Any]) -> TierKind | None:
        """What the tier is for, said by its settings or else by its name."""
        said = wanted.get("kind", tier if tier in KINDS else None)
        if isinstance(said, str) and said in KINDS:
            return KINDS[said]
        rule = f"what the tier is for: {' or '.join(KINDS)}"
        if "kind" not in wanted:
            names = " and ".join(f"`{name}`" for name in KINDS)
            self._add(f"tiers.{tier}.kind", "(missing)", f"{rule}; only the tiers {names} have it by their name", next(iter(KINDS)))
        elif said is not None:  # nothing after the colon is reported already
            near = difflib.get_close_matches(str(said).lower(), KINDS, 1)
            self._add(f"tiers.{tier}.kind", shown(said), rule, near[0] if near else next(iter(KINDS)))
        return None

    def _rules(self, provisioner: Provisioner[Any], tiers: Mapping[str, Tier | None], services: Mapping[str, ServiceSettings]) -> None:
        """What the provisioner's own rules say of each tier at each size of its services."""
        for name, tier in tiers.items():
            if tier is None:
                continue
            volumes = [Volume(f"services.{service}.size", used.size) for service, used in services.items() if used.tier == name]
            for found in provisioner.findings(tier.parameters, volumes):
                path = found.volume.path if found.volume else below(f"tiers.{name}", found.path)
                problem = Problem(path, shown(found.value), found.rule, found.works)
                (self.problems if found.severity == "error" else self.warnings).append(problem)

    def _services(self, tiers: Mapping[str, object], provisioner: Provisioner[Any] | None) -> dict[str, ServiceSettings]:
        """Each service.

        Two services' claims never have one name: in `data-<service>-<ordinal>` the ordinal is all that follows the last hyphen.
        """
        services: dict[str, ServiceSettings] = {}
        for name, value in (self._mapping("services") or {}).items():
            path = f"services.{name}"
            problem = label_problem(name, LONGEST_SERVICE)
            if problem:
                why = "because its claims are `data-<service>-<ordinal>` and its pods carry labels with the name"
                self._add(path, shown(name), f"{problem[0]}, {why}", problem[1])
            service = self._section(path, value, ServiceSettings)
            if service is not None:
                unit = provisioner.size_unit if provisioner else service.size.unit
                services[name] = service.model_copy(update={"size": service.size.in_units_of(unit)})
            tier = value.get("tier") if isinstance(value, dict) else None
            if isinstance(tier, str) and tier not in tiers and tiers:
                near = difflib.get_close_matches(tier, tiers, 1) or [next(iter(tiers))]
                self._add(f"{path}.tier", shown(tier), f"no such tier; this stack has: {', '.join(tiers)}", near[0])
        return services

    def _canary(
        self, namespace: NamespaceSettings | None, tiers: Mapping[str, object]
    ) -> tuple[CanarySettings | None, dict[str, dict[str, float]]]:
        """How tiers are proven, and the limits by tier."""
        value = self._mapping("canary", {})
        if value is None:
            return None, {}
        canary = self._section("canary", {key: each for key, each in value.items() if key != "limits"}, CanarySettings, known=("limits",))
        if canary and namespace:
            name = canary.namespace or f"{namespace.name}{CANARY_ENDING}"
            if name == namespace.name:
                self._add("canary.namespace", name, "not the namespace of the claims: the canary's is its own", f"{name}{CANARY_ENDING}")
            elif canary.enabled and len(name) > LONGEST_LABEL:
                rule = f"a name for the canary's namespace of its own, because {name} is longer than {LONGEST_LABEL}"
                self._add("canary.namespace", "(missing)", rule, "canary")
        return canary, self._limits(value.get("limits", {}), tiers)

    def _limits(self, value: object, tiers: Mapping[str, object]) -> dict[str, dict[str, float]]:
        if not isinstance(value, dict):
            self._add("canary.limits", value, "a mapping from a tier's name to its limits", "{database: {syncP99Ms: 10}}")
            return {}
        limits: dict[str, dict[str, float]] = {}
        for tier, wanted in value.items():
            if tiers and tier not in tiers:
                near = difflib.get_close_matches(tier, tiers, 1) or [next(iter(tiers))]
                self._add(f"canary.limits.{tier}", shown(wanted), f"no such tier; this stack has: {', '.join(tiers)}", near[0])
                continue
            checked = self._section(f"canary.limits.{tier}", wanted, CanaryLimits)
            if checked is not None:
                limits[tier] = checked.model_dump(by_alias=True, exclude_none=True)
        return limits

    def _adopt(self, services: Mapping[str, ServiceSettings]) -> dict[str, dict[int, str]]:
        """The old volumes that replicas get. Whether such a volume exists and may be had is for the adoption to find out."""
        adopt: dict[str, dict[int, str]] = {}
        seen: dict[str, str] = {}
        for name, chosen in (self._mapping("adopt", {}) or {}).items():
            path = f"adopt.{name}"
            if name not in services:
                if services:
                    near = difflib.get_close_matches(name, services, 1) or [next(iter(services))]
                    self._add(path, shown(chosen), f"no such service; this stack has: {', '.join(services)}", near[0])
            elif not isinstance(chosen, dict):
                self._add(path, shown(chosen), "a mapping from an ordinal to an old volume", f"{{0: {shown(chosen).strip(chr(34))}}}")
            else:
                adopt[name] = {}
                for key, volume in chosen.items():
                    if self._adopted(f"{path}.{key}", key, volume, services[name].replicas, seen):
                        adopt[name][int(key)] = volume
        return adopt

    def _adopted(self, path: str, key: str, volume: object, replicas: int, seen: dict[str, str]) -> bool:
        """Whether one entry of `adopt` is as it should be; `seen` has the volumes named so far, with their paths."""
        if not re.fullmatch("0|[1-9][0-9]{0,8}", key) or int(key) >= replicas:
            self._add(path, shown(volume), f"the ordinal is a whole number from 0 to {replicas - 1}, one for each replica", "0")
            return False
        if not isinstance(volume, str) or not is_volume_reference(volume):
            works = volume.rstrip("/") if isinstance(volume, str) and is_volume_reference(volume.rstrip("/")) else "pvc-…"
            self._add(path, shown(volume), VOLUME_REFERENCE_RULE, works)
            return False
        if volume in seen and volume != NEW_VOLUME:
            self._add(path, shown(volume), f"the same volume as {seen[volume]}; a volume holds the data of one replica", "another volume")
            return False
        seen[volume] = path
        return True

    def _protect(self) -> bool:
        text = self.raw.get("protect", "false")
        if text in ("true", "false"):
            return text == "true"
        rule, works = _KEY_RULES["protect"]
        self._add("protect", shown(text), rule, _BOOLEANS.get(text.strip('"').lower(), works))
        return False


_BOOLEANS = {"true": "true", "yes": "true", "on": "true", "1": "true", "false": "false", "no": "false", "off": "false", "0": "false"}


def _place(section: str, loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[str, str, type[BaseModel], FieldInfo | None]:
    """Where an error of `model` is: its config path, the last key that is a field's, the model that has it, and the field.

    There is no field for an unknown key. A part of `loc` may also be a number in a list, or a key of a mapping with free names.
    """
    path, key, owner, field = section, "", model, None
    inner: type[BaseModel] | None = model
    free = False
    for part in loc:
        if isinstance(part, int):
            path = f"{path}[{part}]"
        elif free or inner is None:
            path, free = f"{path}.{part}", False
        else:
            key, owner = part, inner
            field = next((field for name, field in owner.model_fields.items() if (field.alias or name) == part), None)
            if field is None or not isinstance(form_of(field), Numbered):
                path = below(path, part)
            inner = inner_model(field) if field else None
            free = field is not None and get_origin(field.annotation) is dict
    return path, key, owner, field


def below(path: str, key: str) -> str:
    """The config path of `key` below `path`; a key with a slash, `csi.storage.k8s.io/fstype`, has dots that separate nothing."""
    return f'{path}["{key}"]' if "/" in key else f"{path}.{key}"


def inner_model(field: FieldInfo) -> type[BaseModel] | None:
    """The model whose values a field has, by itself, optionally, or by free names; None for a field of plain values."""
    annotations = [field.annotation, *get_args(field.annotation)]
    return next((each for each in annotations if isinstance(each, type) and issubclass(each, BaseModel)), None)


def _takes(model: type[BaseModel], key: str, value: object) -> bool:
    try:
        model.model_validate({key: value})
    except ValidationError as errors:
        return not any(error["loc"][0] == key for error in errors.errors())
    return True


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _example(model: type[BaseModel]) -> str:
    """A mapping that works, with the keys that must be there."""
    needed = {field.alias or name: (field.examples or [""])[0] for name, field in model.model_fields.items() if field.is_required()}
    return "{" + ", ".join(f"{name}: {value}" for name, value in needed.items()) + "}"
