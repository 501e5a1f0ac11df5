"""What a tier must measure, as the settings say it: `canary.limits.<tier>`."""

from typing import Annotated

from pydantic import AfterValidator, Field

from components.settings import values
from components.settings.section import Section

Limit = Annotated[float, AfterValidator(values.limit)]


class CanaryLimits(Section):
    """What a tier's canary, and an engine on it, must measure, or the tier counts as not proven."""

    sync_p50_ms: Annotated[
        Limit | None, Field(alias="syncP50Ms", description="the longest median sync, in milliseconds above 0", examples=["5"])
    ] = None
    sync_p95_ms: Annotated[
        Limit | None, Field(alias="syncP95Ms", description="the longest sync but 5 in 100, in milliseconds above 0", examples=["10"])
    ] = None
    sync_p99_ms: Annotated[
        Limit | None, Field(alias="syncP99Ms", description="the longest sync but 1 in 100, in milliseconds above 0", examples=["10"])
    ] = None
    write_mbps: Annotated[
        Limit | None,
        Field(alias="writeMBps", description="the least MB (10^6 bytes) written and synced in a second, above 0", examples=["80"]),
    ] = None
    write_iops: Annotated[
        Limit | None,
        Field(alias="writeIOPS", description="the fewest writes, each with its sync, in a second, above 0", examples=["100"]),
    ] = None
    transactions_per_second: Annotated[
        Limit | None, Field(description="of PostgreSQL: the fewest transactions in a second, above 0", examples=["50"])
    ] = None
    commit_p99_ms: Annotated[
        Limit | None,
        Field(alias="commitP99Ms", description="of PostgreSQL: the longest commit but 1 in 100, in milliseconds above 0", examples=["200"]),
    ] = None
    records_mbps: Annotated[
        Limit | None,
        Field(
            alias="recordsMBps",
            description="of Kafka: the least MB (10^6 bytes) of records acknowledged in a second, above 0",
            examples=["5"],
        ),
    ] = None
    ack_p99_ms: Annotated[
        Limit | None,
        Field(
            alias="ackP99Ms", description="of Kafka: the longest acknowledgement but 1 in 100, in milliseconds above 0", examples=["500"]
        ),
    ] = None
    recovery_seconds: Annotated[
        Limit | None,
        Field(description="of an engine: the longest time until it is there again after a kill, in seconds above 0", examples=["60"]),
    ] = None
