"""What a cluster asks of the canary's pods, and the settings may say: `canary.pod`.

The keys are those of Kubernetes' Pod. Whatever they are, Pod Security level `restricted` admits the
pod, and it gets no API token.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from components.settings import pod_values
from components.settings.section import More, Section

# No user of any image; the number that distroless images made customary for "nonroot".
USER = 65532

Key = Annotated[str, AfterValidator(pod_values.key)]
LabelValue = Annotated[str, AfterValidator(pod_values.label)]
Amounts = dict[Annotated[str, AfterValidator(pod_values.resource)], Annotated[str, BeforeValidator(pod_values.quantity)]]


class Toleration(Section):
    """One toleration of a pod, for taints of nodes."""

    key: Annotated[
        Literal[""] | Key, Field(description="the key of the taint; without it every taint is tolerated", examples=["dedicated"])
    ] = ""
    operator: Annotated[
        Literal["Equal", "Exists"], Field(description="Equal: the taint's value is `value`; Exists: whatever it is", examples=["Equal"])
    ] = "Equal"
    value: Annotated[LabelValue, Field(description="the taint's value", examples=["storage"])] = ""
    effect: Annotated[
        Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"],
        Field(description=f"the taint's effect: {', '.join(pod_values.EFFECTS)}; without it all of them", examples=["NoExecute"]),
    ] = ""
    toleration_seconds: Annotated[
        int | None, Field(description="for how many seconds a taint of the effect NoExecute is tolerated", examples=["300"])
    ] = None

    @model_validator(mode="after")
    def _as_the_api_takes_it(self) -> "Toleration":
        pod_values.toleration(self.model_dump(by_alias=True, exclude_unset=True))
        return self


class SecretReference(Section):
    """A Secret of the canary's namespace."""

    name: Annotated[
        str,
        Field(description=f"the name of a Secret: {pod_values.SUBDOMAIN_RULE}", examples=["registry"]),
        AfterValidator(pod_values.subdomain),
    ]


class PodResources(Section):
    """What the probe's container asks for, and may have at most."""

    requests: Annotated[Amounts, Field(description="the resources that it asks for, by name", examples=["{cpu: 50m, memory: 64Mi}"])] = (
        Field(default_factory=dict)
    )
    limits: Annotated[
        Amounts, Field(description="the resources that it may have at most, by name", examples=["{cpu: 1, memory: 256Mi}"])
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _within_limits(self) -> "PodResources":
        pod_values.within_limits(self.requests, self.limits)
        return self


class CanaryPod(Section):
    """How the canary's pods fit a cluster; nothing of it is needed on a cluster that asks for
    nothing.
    """

    labels: Annotated[
        dict[Annotated[str, AfterValidator(pod_values.own_label)], LabelValue],
        Field(description="labels besides the project's own, a text each", examples=['{sidecar.istio.io/inject: "false"}']),
    ] = Field(default_factory=dict)
    annotations: Annotated[
        dict[Annotated[str, AfterValidator(pod_values.own_annotation)], str],
        Field(description="annotations, a text each", examples=['{example.com/owner: "storage"}']),
        AfterValidator(pod_values.admitted),
    ] = Field(default_factory=dict)
    node_selector: Annotated[
        dict[Key, LabelValue],
        Field(description="labels that a node must have, a text each", examples=['{example.com/pool: "storage"}']),
        AfterValidator(pod_values.node_selector),
        More("`kubernetes.io/os: linux` is always among them"),
    ] = Field(default_factory=dict)
    tolerations: Annotated[
        list[Toleration],
        Field(
            description="a list of Kubernetes' tolerations, for tainted nodes",
            examples=["[{key: dedicated, operator: Equal, value: storage, effect: NoSchedule}]"],
        ),
    ] = Field(default_factory=list)
    image_pull_secrets: Annotated[
        list[SecretReference],
        BeforeValidator(pod_values.secrets),
        Field(description="a list of Secrets for the image's registry, by their names", examples=["[{name: registry}]"]),
        More("They are in the canary's namespace"),
    ] = Field(default_factory=list)
    priority_class_name: Annotated[
        Annotated[str, AfterValidator(pod_values.subdomain)] | None,
        Field(description=f"the name of a PriorityClass: {pod_values.SUBDOMAIN_RULE}", examples=["storage"]),
    ] = None
    resources: Annotated[
        PodResources | None,
        Field(
            description="a mapping with `requests` and `limits` of the probe's container",
            examples=["{requests: {cpu: 500m, memory: 128Mi}, limits: {cpu: 500m, memory: 128Mi}}"],
        ),
        More(
            "By default it asks for `{cpu: 50m, memory: 64Mi}` and may have `{cpu: 1, memory: 256Mi}`; what is given stands for all of it"
        ),
    ] = None
    service_account_name: Annotated[
        Annotated[str, AfterValidator(pod_values.subdomain)] | None,
        Field(description=f"the name of a ServiceAccount: {pod_values.SUBDOMAIN_RULE}", examples=["canary"]),
        More("It is in the canary's namespace. The pods get no token of it"),
    ] = None
    run_as_user: Annotated[
        int | None,
        Field(
            description=f"the number of the pods' user and group, from 1 to {pod_values.LARGEST_USER}, or null: the cluster chooses it",
            examples=["1000"],
        ),
        AfterValidator(pod_values.user),
        More("null is for OpenShift; elsewhere the image's own user must then not be root"),
    ] = USER
