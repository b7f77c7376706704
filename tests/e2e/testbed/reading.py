"""What the API server holds, read without a program: tests look hundreds of times, and kubectl takes 0.15 s of CPU."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from hami_dra.kube.errors import KubeError, NotFound
from hami_dra.kube.paths import CLAIMS, CORE, EVENTS, LEASES, NODES, PODS, SLICES, named, namespaced
from hami_dra.kube.transport import Client, connect
from testbed.errors import ReadError

Json = dict[str, Any]

_NAMESPACED = {
    "events": EVENTS,
    "leases": LEASES,
    "pods": PODS,
    "resourceclaims": CLAIMS,
    "serviceaccounts": f"{CORE}/serviceaccounts",
}
_OF_THE_CLUSTER = {"nodes": NODES, "resourceslices": SLICES}


def read_object(kubeconfig: Path, resource: str, name: str, namespace: str) -> Json:
    """One object, {} where there is none. Raises ReadError."""
    try:
        return _client(kubeconfig).get(named(_collection(resource, namespace), name))
    except NotFound:
        return {}
    except KubeError as error:
        raise ReadError(f"{resource} {name}: {error}") from error


def read_list(kubeconfig: Path, resource: str, namespace: str, selectors: Mapping[str, str]) -> list[Json]:
    """All objects of a namespace, of all namespaces for "". Raises ReadError."""
    try:
        return list(_client(kubeconfig).list(_collection(resource, namespace), selectors).items)
    except KubeError as error:
        raise ReadError(f"{resource}: {error}") from error


def _collection(resource: str, namespace: str) -> str:
    everywhere = _OF_THE_CLUSTER.get(resource)
    if everywhere:
        return everywhere
    return namespaced(_NAMESPACED[resource], namespace) if namespace else _NAMESPACED[resource]


def _client(kubeconfig: Path) -> Client:
    return _connected(str(kubeconfig), kubeconfig.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _connected(kubeconfig: str, written_ns: int) -> Client:
    # The second argument tells a cluster from the one that had its name before: that had other keys.
    return connect(kubeconfig)
