"""Whether a service's claims hold what its engine writes at most, by the engine's settings.

What can't fit is an error, with a size that does, and with a figure of the engine's that does at
the size as it is. What has no limit is a warning, with a limit that fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from components.engines import EngineBudget, own_share
from components.kube.quantity import MI, Bytes, quantity
from components.provisioners import Provisioner, TierParameters, shown
from components.provisioners.base import FSTYPE
from components.settings.engine import KafkaEngine, PostgresqlEngine
from components.settings.models import ServiceSettings
from components.settings.problems import MISSING, Problem

# A size of 1Pi or more has no spelling in the settings, and no driver makes one.
_LARGEST_SIZE = 2**50
_MOST_ROUNDS = 64

WHAT_HAPPENS = {
    "maxSlotWalKeepSize": "no limit: from the moment a slot's reader stops, PostgreSQL keeps all WAL; a full volume stops it, and it "
    "starts again only when there is room",
    "retentionBytes": "no limit: nothing bounds what a partition keeps but time, and how much comes in is not said; a broker whose "
    "volume is full ends",
    "ingressBytesPerSecond": "not said: what comes in before old segments are deleted (6 minutes' worth) isn't counted",
}


def file_system_of(provisioner: Provisioner[Any], parameters: TierParameters) -> str | None:
    """The file system of a tier's volumes; None where they are plain folders."""
    if not provisioner.enforces_size:
        return None
    made = provisioner.storage_class(parameters).parameters
    return made.get(FSTYPE) or made.get("fstype") or "ext4"


def budget_of(service: ServiceSettings) -> EngineBudget | None:
    """What the service's engine writes to each of its volumes; None where no engine is given."""
    return service.engine.chosen[1].budget(service.replicas) if service.engine else None


def engine_problems(name: str, service: ServiceSettings) -> Iterator[Problem]:
    """What is wrong with the engine of a service, whatever its size."""
    engine = service.engine.chosen[1] if service.engine else None
    if isinstance(engine, KafkaEngine) and engine.replication_factor > service.replicas:
        rule = f"no more copies than there are brokers, and `replicas` is {service.replicas}"
        path = f"services.{name}.engine.kafka.replicationFactor"
        yield Problem(path, shown(engine.replication_factor), rule, str(service.replicas))


def misfits(name: str, service: ServiceSettings, provisioner: Provisioner[Any], parameters: TierParameters) -> Iterator[Problem]:
    """Why the claims of a service can't hold what its engine writes."""
    budget = budget_of(service)
    file_system = file_system_of(provisioner, parameters)
    claim = service.size.provisioned_bytes
    if budget is None or budget.fits(claim, file_system):
        return
    own = own_share(file_system, claim)
    less = f", less {_about(own)} for {file_system} itself" if own else ""
    parts = ", ".join(f"{what} {_about(amount)}" for what, amount in budget.parts.items() if amount)
    data = f", data {_about(budget.data)}" if budget.data else ""
    rule = (
        f"{budget.engine} writes up to {_about(budget.needed_bytes)} to each volume, "
        f"which has {service.size.provisioned}{less}: {parts}{data}"
    )
    size = _size_that_fits(budget, service, provisioner, parameters, file_system)
    figure = _figure_that_fits(service, claim, file_system)
    works = " or, at this size, ".join(each for each in (size, figure) if each)
    yield Problem(f"services.{name}.size", shown(service.size.requested), rule, works)


def boundless(name: str, service: ServiceSettings, provisioner: Provisioner[Any], parameters: TierParameters) -> Iterator[Problem]:
    """The settings of a service's engine that leave a claim without a limit to what is written."""
    budget = budget_of(service)
    if budget is None or service.engine is None:
        return
    key, engine = service.engine.chosen
    fields = {field.alias: field_name for field_name, field in type(engine).model_fields.items()}
    for setting in budget.unbounded:
        field = fields[setting]
        value = shown(-1) if field in engine.model_fields_set else MISSING
        figure = _largest(service, field, service.size.provisioned_bytes, file_system_of(provisioner, parameters))
        if figure is not None and field == "max_slot_wal_keep_size":  # and as much for data
            figure = max(figure // 2 // MI * MI, MI)
        works = _as_written(field, figure) if figure is not None else "a larger size, and a limit"
        yield Problem(f"services.{name}.engine.{key}.{setting}", value, WHAT_HAPPENS[setting], works)


def _as_written(field: str, number: int) -> str:
    """A number of the engine's settings as a stack file has it: sizes as quantities."""
    return str(number if field == "partitions" else Bytes(number))


def _size_that_fits(
    budget: EngineBudget, service: ServiceSettings, provisioner: Provisioner[Any], parameters: TierParameters, file_system: str | None
) -> str:
    """The smallest size that holds the budget, and that the driver makes; empty for none.

    A larger volume has a larger file system, which keeps more for itself: so it takes a few rounds.
    """
    least = budget.needed_bytes
    for _ in range(_MOST_ROUNDS):
        if least >= _LARGEST_SIZE:
            break
        size = provisioner.smallest_bytes(parameters, least, [service.size])
        if size is None:
            break
        if budget.fits(size, file_system):
            return quantity(size)
        least = max(budget.needed_bytes + own_share(file_system, size), size + 1)
    return ""


def _figure_that_fits(service: ServiceSettings, claim: int, file_system: str | None) -> str:
    """A figure of the engine's that fits the size as it is: the first that can be made smaller."""
    assert service.engine is not None
    key, engine = service.engine.chosen
    for field in _SMALLER[type(engine)]:
        if getattr(engine, field) is None and field not in ("max_wal_size", "retention_bytes"):
            continue
        figure = _largest(service, field, claim, file_system)
        if figure is not None:
            return f"{_as_written(field, figure)} for engine.{key}.{type(engine).model_fields[field].alias}"
    return ""


# What can be made smaller, in the order in which it is proposed.
_SMALLER: dict[type, tuple[str, ...]] = {
    PostgresqlEngine: ("max_slot_wal_keep_size", "max_wal_size", "data"),
    KafkaEngine: ("retention_bytes", "segment_bytes", "partitions", "ingress_bytes_per_second"),
}


def _largest(service: ServiceSettings, field: str, claim: int, file_system: str | None) -> int | None:
    """The largest value of a setting with which the claim holds the engine's budget.

    None where even its smallest doesn't do. Sizes are whole Mi, WAL's whole segments.
    """
    assert service.engine is not None
    engine = service.engine.chosen[1]
    segment = engine.wal_segment_size if isinstance(engine, PostgresqlEngine) else MI
    steps = {"max_wal_size": segment, "max_slot_wal_keep_size": segment, "partitions": 1, "ingress_bytes_per_second": 1000}
    step = int(steps.get(field, MI))
    least, most = 2 if field == "max_wal_size" else 1, _most(field, claim) // step

    def fits(number: int) -> bool:
        value = number * step
        changed = engine.model_copy(update={field: value})
        return changed.budget(service.replicas).fits(claim, file_system)

    if most < least or not fits(least):
        return None
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if fits(middle) else (least, middle - 1)
    return least * step


def _most(field: str, claim: int) -> int:
    """The largest value to try: none fits that is larger than the claim."""
    return min(claim, 2**30) if field == "segment_bytes" else claim


def _about(number: int) -> str:
    """Bytes in Mi or a larger unit, rounded up."""
    return quantity(-(-number // MI) * MI)
