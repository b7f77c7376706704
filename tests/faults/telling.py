"""What a pod that does not run has come to, in words that a failure can end with."""

from __future__ import annotations

from collections.abc import Iterator

from clusters import SPACE

from hami_dra.api.resources import JsonObject
from hami_dra.kube.errors import KubeError, NotFound
from hami_dra.kube.paths import CLAIMS, PODS, named, namespaced
from hami_dra.kube.transport import Client


def tell(client: Client, name: str) -> str:
    """The pod, its node and its claims, as they are now."""
    try:
        pod = client.get(named(namespaced(PODS, SPACE), name))
    except KubeError as error:
        return f"pod {name}: {error}"
    where = f"on node {pod['spec'].get('nodeName') or 'none yet'}"
    claims = ", ".join(_tell_claim(client, claim) for claim in claim_names(pod)) or "no claim yet"
    return f"pod {name} ({pod['metadata']['uid']}, {pod['status'].get('phase')}) {where}: {claims}"


def claim_names(pod: JsonObject) -> Iterator[str]:
    """Those that the pod names by now."""
    generated = {
        entry["name"]: entry.get("resourceClaimName") for entry in pod["status"].get("resourceClaimStatuses") or ()
    }
    for entry in pod["spec"].get("resourceClaims") or ():
        name = entry.get("resourceClaimName") or generated.get(entry["name"])
        if name:
            yield str(name)


def _tell_claim(client: Client, name: str) -> str:
    try:
        claim = client.get(named(namespaced(CLAIMS, SPACE), name))
    except NotFound:
        return f"claim {name} is not there"
    except KubeError as error:
        return f"claim {name}: {error}"
    deleting = " is being deleted," if "deletionTimestamp" in claim["metadata"] else ""
    allocation = (claim.get("status") or {}).get("allocation")
    if not allocation:
        return f"claim {name}{deleting} is not allocated"
    pools = sorted({result["pool"] for result in allocation["devices"]["results"]})
    reserved = [consumer["name"] for consumer in claim["status"].get("reservedFor") or ()]
    return f"claim {name}{deleting} is allocated on {', '.join(pools)}, reserved for {', '.join(reserved) or 'nobody'}"
