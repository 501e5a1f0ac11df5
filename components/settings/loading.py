"""Makes Settings of a stack's config, and collects every problem on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ValidationError

from components.kinds import DATABASE, KINDS, TierKind
from components.kube.labels import PROJECT
from components.provisioners import Provisioner, RequestedVolume, class_name, shown, why_refused
from components.settings.budgets import boundless, engine_problems, misfits
from components.settings.models import (
    CANARY_ENDING,
    KEYS,
    MISSING_SERVICES,
    CanarySettings,
    NamespaceSettings,
    ServiceSettings,
    Settings,
    StackConfig,
    Tier,
    TierSettings,
)
from components.settings.problems import (
    MISSING,
    Problem,
    SettingsError,
    below,
    missing_key,
    names_of,
    nearest,
    no_mapping,
    problem_of,
    unknown_key,
)
from components.settings.values import LONGEST_LABEL, LONGEST_SERVICE, NEW_VOLUME, label_problem, split_volume_reference, stack_name_problem

M = TypeVar("M", bound=BaseModel)

# Keys whose values are texts in Pulumi's config; those of the others are JSON.
_TEXTS = ("provisioner", "protect")

# Values that stand for a key that isn't there: Pulumi.yaml has them as the defaults of keys that
# must be there.
_STAND_FOR_MISSING: Mapping[str, Any] = {"provisioner": "", "tiers": {}, "services": MISSING_SERVICES}


def load(raw: Mapping[str, str], stack: str) -> Settings:
    """The settings in `raw`, a config map as Pulumi's runtime has it: full keys
    (`storage-tiers:tiers`), objects as JSON text.

    Keys of other namespaces are other programs' and are left alone. Raises SettingsError with every
    problem there is.
    """
    return _Loader(raw, stack).load()


class _Loader:
    """Goes through all settings once, in the order of StackConfig.

    Each key is checked by its model first, then together with the keys before it. What is wrong is
    None from there on, and is not reported a second time because of others that refer to it.
    """

    def __init__(self, raw: Mapping[str, str], stack: str) -> None:
        self.stack = stack
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        nothing: dict[str, Any] = dict.fromkeys(KEYS)
        self.config = StackConfig.model_construct(**nothing)
        prefix = f"{PROJECT}:"
        self.written = {key.removeprefix(prefix): text for key, text in raw.items() if key.startswith(prefix)}
        self.values: dict[str, Any] = {key: text if key in _TEXTS else _from_json(text) for key, text in self.written.items()}

    def load(self) -> Settings:
        """The settings; raises SettingsError."""
        problem = stack_name_problem(self.stack)
        if problem:
            self._add("stack", shown(self.stack), *problem)
        self.problems += [unknown_key(key, key, text, KEYS) for key, text in self.written.items() if key not in KEYS]
        provisioner = self._checked("provisioner")
        cluster = self._checked("cluster")
        namespace = self._checked("namespace")
        tiers = self._tiers(provisioner)
        services = self._services(provisioner)
        if provisioner:
            self._rules(provisioner, tiers, services)
            self._budgets(provisioner, tiers, services)
        canary = self._checked("canary")
        self._check_canary(canary, namespace)
        adopt = self._adopt(services)
        protect = self._checked("protect")
        if self.problems:
            raise SettingsError(self.problems, self.stack)
        return Settings(
            stack=self.stack,
            provisioner=provisioner,
            cluster=cluster,
            namespace=namespace,
            tiers={name: tier for name, tier in tiers.items() if tier is not None},
            services=services,
            canary=canary,
            adopt=adopt,
            protect=protect,
            warnings=tuple(self.warnings),
        )

    def _add(self, path: str, value: str, rule: str, works: str) -> None:
        self.problems.append(Problem(path, value, rule, works))

    def _checked(self, key: str) -> Any:  # noqa: ANN401 - what the field of StackConfig has
        """The value of a top-level key as its model has it; None for a wrong one.

        Wrong entries under free names are left out.
        """
        field = StackConfig.model_fields[key]
        if key not in self.values or self.values[key] == _STAND_FOR_MISSING.get(key, ...):
            if field.is_required():
                self.problems.append(missing_key(key, field))
                return None
            return field.get_default(call_default_factory=True)
        value = self.values[key]
        try:
            return self._validated(key, value)
        except ValidationError as errors:
            found = errors.errors(include_url=False)
        self.problems += [problem_of(error, StackConfig) for error in found]
        wrong = {error["loc"][1] for error in found if len(error["loc"]) > 1}
        if get_origin(field.annotation) is not dict or not wrong:
            return None
        return self._validated(key, {name: entry for name, entry in value.items() if name not in wrong})

    def _validated(self, key: str, value: object) -> Any:  # noqa: ANN401 - what the field of StackConfig has
        """The value of a top-level key as its field in StackConfig has it; raises
        ValidationError.
        """
        setattr(self.config, key, value)
        return getattr(self.config, key)

    def _part(
        self, path: str, value: Mapping[str, Any], model: type[M], known: Iterable[str] = (), why: Callable[[str], str] = lambda _: ""
    ) -> M | None:
        """`value` as a `model`; None where it isn't one. `known` and `why` as problem_of has
        them.
        """
        try:
            return model.model_validate(value)
        except ValidationError as errors:
            self.problems += [problem_of(error, model, path, known, why) for error in errors.errors(include_url=False)]
            return None

    def _names(self, key: str) -> list[str]:
        """The names of all entries of a top-level mapping, right or wrong."""
        value = self.values.get(key)
        return list(value) if isinstance(value, dict) and value != _STAND_FOR_MISSING.get(key) else []

    def _tiers(self, provisioner: Provisioner[Any] | None) -> dict[str, Tier | None]:
        """Each tier; None for a wrong one."""
        tiers: dict[str, Tier | None] = {}
        for name, value in (self._checked("tiers") or {}).items():
            # The class is `<tier>-<provisioner>`, and labels carry it.
            problem = label_problem(name, LONGEST_LABEL - 1 - len(provisioner.name if provisioner else "local-path"))
            if problem:
                self._add(f"tiers.{name}", shown(name), f"{problem[0]}, because the class is named `<tier>-<provisioner>`", problem[1])
            tiers[name] = self._tier(name, value, provisioner)
        return tiers

    def _tier(self, name: str, wanted: object, provisioner: Provisioner[Any] | None) -> Tier | None:
        path = f"tiers.{name}"
        own = names_of(provisioner.parameters_model) if provisioner else []
        if not isinstance(wanted, dict):
            problem = no_mapping(path, wanted, TierSettings, own)
            self._add(path, problem.value, problem.rule, problem.works if name in KINDS else f"{{kind: {DATABASE.name}}}")
            return None
        for key in [key for key, value in wanted.items() if value is None]:
            works = DATABASE.name if key == "kind" and name not in KINDS else f"a value, or without `{key}`"
            self._add(f"{path}.{key}", shown(None), "nothing after the colon", works)
        given = {key: value for key, value in wanted.items() if value is not None}
        common = {key: given.pop(key) for key in names_of(TierSettings) if key in given}
        # Without a kind, which is reported, its parameters are checked as well, as if it were for
        # databases.
        kind = self._kind(name, common, wanted) or DATABASE
        if provisioner is None:
            return None
        parameters = self._part(
            path,
            {**provisioner.defaults(kind), **given},
            provisioner.parameters_model,
            names_of(TierSettings),
            partial(why_refused, provisioner.name),
        )
        return Tier(name, class_name(name, provisioner.name), kind, parameters) if parameters is not None else None

    def _kind(self, tier: str, common: Mapping[str, Any], wanted: Mapping[str, Any]) -> TierKind | None:
        """What the tier is for: said by its settings, or else by its name."""
        settings = self._part(f"tiers.{tier}", common, TierSettings)
        if settings is None:
            return None
        if settings.kind is None and tier not in KINDS and "kind" not in wanted:
            problem = missing_key(f"tiers.{tier}.kind", TierSettings.model_fields["kind"])
            names = " and ".join(f"`{name}`" for name in KINDS)
            self._add(problem.path, problem.value, f"{problem.rule}; only the tiers {names} have it by their name", problem.works)
        return KINDS.get(settings.kind or tier)

    def _services(self, provisioner: Provisioner[Any] | None) -> dict[str, ServiceSettings]:
        """Each service, its size in the unit that the provisioner makes.

        Two services' claims never have one name: in `data-<service>-<ordinal>` the ordinal is all
        that follows the last hyphen.
        """
        names, tiers = self._names("services"), self._names("tiers")
        for name in names:
            problem = label_problem(name, LONGEST_SERVICE)
            if problem:
                why = "because its claims are `data-<service>-<ordinal>` and its pods carry labels with the name"
                self._add(f"services.{name}", shown(name), f"{problem[0]}, {why}", problem[1])
        services: dict[str, ServiceSettings] = self._checked("services") or {}
        for name in names if tiers else ():
            wanted = self.values["services"][name]
            tier = wanted.get("tier") if isinstance(wanted, dict) else None
            if isinstance(tier, str):
                self._refers(f"services.{name}.tier", tier, tier, "tier", tiers)
        if provisioner is None:
            return services
        return {
            name: service.model_copy(update={"size": service.size.in_units_of(provisioner.size_unit)}) for name, service in services.items()
        }

    def _refers(self, path: str, name: str, value: object, what: str, known: list[str]) -> None:
        """Report a `name` that is none of the `known`, of which there are some."""
        if name not in known:
            rule = f"no such {what}; this stack has: {', '.join(known)}"
            self._add(path, shown(value), rule, nearest(name, known) or known[0])

    def _rules(self, provisioner: Provisioner[Any], tiers: Mapping[str, Tier | None], services: Mapping[str, ServiceSettings]) -> None:
        """What the provisioner's own rules say of each tier at each size of its services."""
        for name, tier in tiers.items():
            if tier is None:
                continue
            volumes = [RequestedVolume(f"services.{service}.size", used.size) for service, used in services.items() if used.tier == name]
            for found in provisioner.findings(tier.parameters, volumes):
                path = found.volume.path if found.volume else below(f"tiers.{name}", found.path)
                problem = Problem(path, shown(found.value), found.rule, found.works)
                (self.problems if found.severity == "error" else self.warnings).append(problem)

    def _budgets(self, provisioner: Provisioner[Any], tiers: Mapping[str, Tier | None], services: Mapping[str, ServiceSettings]) -> None:
        """Whether each service's claims hold what its engine writes."""
        for name, service in services.items():
            tier = tiers.get(service.tier)
            wrong = list(engine_problems(name, service))
            if tier is not None and not wrong:
                wrong = list(misfits(name, service, provisioner, tier.parameters))
                self.warnings += () if wrong else boundless(name, service, provisioner, tier.parameters)
            self.problems += wrong

    def _check_canary(self, canary: CanarySettings | None, namespace: NamespaceSettings | None) -> None:
        """The canary runs in a namespace of its own, and has limits for tiers that there are."""
        if canary and namespace:
            name = canary.namespace or f"{namespace.name}{CANARY_ENDING}"
            if name == namespace.name:
                self._add("canary.namespace", name, "not the namespace of the claims: the canary's is its own", f"{name}{CANARY_ENDING}")
            elif canary.enabled and len(name) > LONGEST_LABEL:
                rule = f"a name for the canary's namespace of its own, because {name} is longer than {LONGEST_LABEL}"
                self._add("canary.namespace", MISSING, rule, "canary")
        if canary and canary.engine and not canary.enabled:
            self._add("canary.engine", "true", "false where canary.enabled is false: an engine runs in the canary's namespace", "false")
        value = self.values.get("canary")
        limits = value.get("limits") if isinstance(value, dict) else None
        tiers = self._names("tiers")
        for tier, wanted in limits.items() if isinstance(limits, dict) and tiers else ():
            self._refers(f"canary.limits.{tier}", tier, wanted, "tier", tiers)

    def _adopt(self, services: Mapping[str, ServiceSettings]) -> dict[str, dict[int, str]]:
        """The old volumes that replicas get.

        Whether such a volume exists and may be had is for the adoption to find out.
        """
        known, seen = self._names("services"), dict[str, str]()
        for name in self._names("adopt") if known else ():
            self._refers(f"adopt.{name}", name, self.values["adopt"][name], "service", known)
        adopted: dict[str, dict[int, str]] = {}
        for name, volumes in (self._checked("adopt") or {}).items():
            if name not in services:
                continue
            replicas = services[name].replicas
            good = {key: each for key, each in volumes.items() if self._adopts(f"adopt.{name}.{key}", key, each, replicas, seen)}
            adopted[name] = {int(key): each for key, each in good.items()}
        return adopted

    def _adopts(self, path: str, key: str, volume: str, replicas: int, seen: dict[str, str]) -> bool:
        """Whether one entry of `adopt` is as it should be.

        `seen` has the volumes named so far, with their paths.
        """
        if not re.fullmatch("0|[1-9][0-9]{0,8}", key) or int(key) >= replicas:
            self._add(path, shown(volume), f"the ordinal is a whole number from 0 to {replicas - 1}, one for each replica", "0")
            return False
        data, _ = split_volume_reference(volume)
        if data in seen and volume != NEW_VOLUME:
            self._add(path, shown(volume), f"the same volume as {seen[data]}; a volume holds the data of one replica", "another volume")
            return False
        seen[data] = path
        return True


def _from_json(text: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """The value that `text` is the JSON of; a text that is no JSON as it is."""
    try:
        return json.loads(text)
    except ValueError:  # a number of more than 4300 digits, too
        return text
