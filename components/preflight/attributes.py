"""The stack's VolumeAttributesClasses on its cluster, read before anything is declared.

What is in a class never changes, and one that volumes use can't be deleted. So the program declares
those that are there as they are, and others beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

import pulumi

from components.kube.api import ApiError, KubeApi
from components.kube.attributes import PATH, AttributesClass
from components.preflight.cluster import open_api
from components.preflight.unanswered import tell
from components.settings import Settings


def read_attributes_classes(settings: Settings, api: KubeApi | None = None) -> Sequence[AttributesClass]:
    """All VolumeAttributesClasses of the cluster.

    `api` is what check_cluster returned; without it the cluster's is opened.

    None for a provisioner that has none, for a cluster that doesn't know them (Kubernetes before
    1.34), and for a preview without a cluster. Where the user may not list them, that is said.
    """
    if "attributes" not in settings.provisioner.parameters_model.model_fields:
        return ()
    api = api or open_api(settings)
    if api.context not in api.contexts:  # check_cluster lets no `up` go on
        return ()
    try:
        return [AttributesClass.of(each) for each in api.items(PATH)]
    except ApiError as problem:
        if problem.status == HTTPStatus.FORBIDDEN:
            pulumi.log.warn(
                f"which VolumeAttributesClasses the cluster of context {api.context} has isn't known: {problem}. One of this stack that is "
                "there and isn't in the settings any more is left there, and given up"
            )
        elif problem.status != HTTPStatus.NOT_FOUND:
            tell(problem)
        return ()
