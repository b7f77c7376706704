"""Claims, read from the API server at the moment they are needed."""

from __future__ import annotations

from hami_dra.api.resources import Claim
from hami_dra.kube.claims import Claims
from hami_dra.kube.errors import NotFound
from hami_dra.kubelet_plugin.entries import ClaimRef


class KubeClaimReader:
    """Reads single claims; the plugin may not list them."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims

    def read(self, ref: ClaimRef) -> Claim | None:
        """The claim; None where it is gone or another one has its name. Raises KubeError, ApiError."""
        try:
            claim = Claim.from_json(self._claims.get(ref.namespace, ref.name))
        except NotFound:
            return None
        return claim if claim.uid == ref.uid else None
