"""Request paths of the API server."""

from typing import Final
from urllib.parse import quote

CORE: Final = "/api/v1"
RESOURCE: Final = "/apis/resource.k8s.io/v1"

PODS: Final = f"{CORE}/pods"
NODES: Final = f"{CORE}/nodes"
NAMESPACES: Final = f"{CORE}/namespaces"
EVENTS: Final = f"{CORE}/events"
VOLUME_CLAIMS: Final = f"{CORE}/persistentvolumeclaims"
VOLUMES: Final = f"{CORE}/persistentvolumes"
LEASES: Final = "/apis/coordination.k8s.io/v1/leases"
CLAIMS: Final = f"{RESOURCE}/resourceclaims"
CLAIM_TEMPLATES: Final = f"{RESOURCE}/resourceclaimtemplates"
SLICES: Final = f"{RESOURCE}/resourceslices"
DEVICE_CLASSES: Final = f"{RESOURCE}/deviceclasses"
DEVICE_TAINT_RULES: Final = f"{RESOURCE}/devicetaintrules"


def namespaced(collection: str, namespace: str, name: str = "", subresource: str = "") -> str:
    """The path of a namespaced object, or of the collection within the namespace.

    `collection` is a cluster-wide path such as PODS.
    """
    group, _, plural = collection.rpartition("/")
    return named(f"{group}/namespaces/{quote(namespace, safe='')}/{plural}", name, subresource)


def named(collection: str, name: str = "", subresource: str = "") -> str:
    """The path of an object in `collection`, or the collection itself."""
    parts = (collection, quote(name, safe=""), subresource)
    return "/".join(part for part in parts if part)
