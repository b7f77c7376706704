"""Claims, read from the API server at the moment they are needed."""

from __future__ import annotations

from hami_dra.api import names
from hami_dra.api.resources import Claim, JsonObject
from hami_dra.api.resources.json import items, section
from hami_dra.kube.claims import Claims
from hami_dra.kube.errors import NotFound
from hami_dra.kubelet_plugin.entries import ClaimRef


class KubeClaimReader:
    """Reads single claims; the plugin may not list them. What they ask for, and tell other drivers, is left out."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims

    def read(self, ref: ClaimRef) -> Claim | None:
        """The claim; None where it is gone or another one has its name. Raises KubeError, ApiError."""
        try:
            claim = Claim.from_json(self._claims.get(ref.namespace, ref.name, transform=_what_matters))
        except NotFound as error:
            if not error.reason:
                # No word of the claim: the API server does not serve its kind now, or somebody else answered.
                raise
            return None
        return claim if claim.uid == ref.uid else None


def _what_matters(claim: JsonObject) -> JsonObject:
    # Parameters that nobody has checked take forty times their length when decoded, and a pod may have many claims.
    claim.pop("spec", None)
    devices = section(section(section(claim, "status"), "allocation"), "devices")
    if "config" in devices:
        found = items(devices, "config")
        devices["config"] = [config for config in found if section(config, "opaque").get("driver") == names.DRIVER]
    return claim
