"""The checked-in stubs are those that the .proto files make, and speak kubelet's wire names."""

import pytest

from hami_dra.api.generate import stale_stubs
from hami_dra.api.pb import dra_v1_pb2, dra_v1beta1_pb2, pluginregistration_pb2


def test_stubs_are_fresh() -> None:
    """Whoever changes a .proto regenerates."""
    assert stale_stubs() == []


@pytest.mark.parametrize(
    ("module", "service"),
    [
        (dra_v1_pb2, "k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin"),
        (dra_v1beta1_pb2, "k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin"),
        (pluginregistration_pb2, "pluginregistration.Registration"),
    ],
    ids=["v1", "v1beta1", "registration"],
)
def test_service_has_the_name_that_kubelet_calls(module: object, service: str) -> None:
    """The full name is the path on the wire."""
    services = module.DESCRIPTOR.services_by_name.values()  # type: ignore[attr-defined]
    assert [found.full_name for found in services] == [service]


def test_share_id_is_only_known_to_v1() -> None:
    """Field 5, with presence: unset is not empty."""
    fields = {field.name: field.number for field in dra_v1_pb2.Device.DESCRIPTOR.fields}
    assert fields == {"request_names": 1, "pool_name": 2, "device_name": 3, "cdi_device_ids": 4, "share_id": 5}
    assert not dra_v1_pb2.Device().HasField("share_id")
    assert "share_id" not in dra_v1beta1_pb2.Device.DESCRIPTOR.fields_by_name


def test_claim_has_the_numbers_of_the_wire() -> None:
    """namespace, uid, name: in this order on the wire."""
    for module in (dra_v1_pb2, dra_v1beta1_pb2):
        fields = {field.name: field.number for field in module.Claim.DESCRIPTOR.fields}
        assert fields == {"namespace": 1, "uid": 2, "name": 3}
