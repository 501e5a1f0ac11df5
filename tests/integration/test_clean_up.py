"""What a failing test leaves on the cluster goes before the next file, and is told (about 15 s)."""

from __future__ import annotations

import pytest
from kubernetes import client

from devkube.cluster import Access
from ops.kube import open_api
from tests import clean_up
from tests.conftest import eventually
from tests.faults.tier import Tiers
from tests.integration.consumer_pods import ConsumerPods

pytestmark = pytest.mark.cluster

HERE = "somebodys"
SPEC = {"accessModes": ["ReadWriteOnce"], "storageClassName": "left", "resources": {"requests": {"storage": "1Gi"}}}
OTHER = {
    "storageClassName": "left",
    "capacity": {"storage": "1Gi"},
    "accessModes": ["ReadWriteOnce"],
    "hostPath": {"path": "/nowhere/other"},
    "claimRef": {"namespace": HERE, "name": "gone", "uid": "00000000-0000-0000-0000-000000000000"},
}


def test_all_of_it_goes_and_is_named(tiers: Tiers, access: Access, core: client.CoreV1Api, busybox: str) -> None:
    api = open_api(access.context, str(access.kubeconfig))
    before = clean_up.present(api)
    with pytest.raises(client.ApiException), tiers.storage_class("left"):
        core.create_namespace({"metadata": {"name": HERE}})
        account = {"namespace": HERE, "field_selector": "metadata.name=default"}
        eventually(lambda: bool(core.list_namespaced_service_account(**account).items), "the service account is there")
        core.create_namespaced_persistent_volume_claim(HERE, {"metadata": {"name": "data-x-0"}, "spec": SPEC})
        ConsumerPods(core, busybox, HERE).start(["data-x-0"])
        core.create_persistent_volume({"metadata": {"name": "other"}, "spec": OTHER})  # no provisioner's: none deletes it
        core.create_namespaced_service_account("default", {"metadata": {"name": "left"}})
        core.create_namespace({"metadata": {"name": HERE}})  # it fails: what is there is left
    volume = core.read_namespaced_persistent_volume_claim("data-x-0", HERE).spec.volume_name
    left = clean_up.remove(api, before)
    accounts = "/api/v1/namespaces/default/serviceaccounts/left"
    assert sorted(left) == sorted(
        [accounts, f"/api/v1/namespaces/{HERE}", f"/api/v1/persistentvolumes/{volume}", "/api/v1/persistentvolumes/other"]
    )
    assert clean_up.present(api).keys() == before.keys()
    assert not (tiers.volumes / volume).exists(), "nor is its data there"
