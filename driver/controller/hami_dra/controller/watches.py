"""The collections that are watched, and how their changes reach the runner."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hami_dra.api import names
from hami_dra.api.resources import JsonObject
from hami_dra.controller.observer import Observed
from hami_dra.controller.shrinking import shrink_node, shrink_pod, shrink_volume, shrink_volume_claim
from hami_dra.controller.world import Kind
from hami_dra.kube import paths
from hami_dra.kube.reflector import Change, ChangeType, Reflector, ReflectorOptions
from hami_dra.kube.transport import PAGE_LIMIT, Client, Transform

LOG = logging.getLogger(__name__)

_PATHS = {
    Kind.POD: paths.PODS,
    Kind.CLAIM: paths.CLAIMS,
    Kind.SLICE: paths.SLICES,
    Kind.CLASS: paths.DEVICE_CLASSES,
    Kind.NODE: paths.NODES,
    Kind.RULE: paths.DEVICE_TAINT_RULES,
    Kind.VOLUME_CLAIM: paths.VOLUME_CLAIMS,
    Kind.VOLUME: paths.VOLUMES,
}
# Claims stay whole: they are written back.
_TRANSFORMS: dict[Kind, Transform] = {
    Kind.POD: shrink_pod,
    Kind.NODE: shrink_node,
    Kind.VOLUME_CLAIM: shrink_volume_claim,
    Kind.VOLUME: shrink_volume,
}
# Pages of about as many bytes each: a slice with eight GPUs is as large as ten pods.
_PAGE_LIMITS = {Kind.POD: 250, Kind.CLAIM: 250, Kind.NODE: 100, Kind.SLICE: 50}
_PARAMS = {Kind.SLICE: {"fieldSelector": f"spec.driver={names.DRIVER}"}}


def make_reflectors(
    client: Client,
    put: Callable[[Observed], None],
    *,
    on_synced: Callable[[], None],
    on_fatal: Callable[[Exception], None],
) -> list[Reflector]:
    """One reflector per collection, not started. Clusters before 1.37 may not serve DeviceTaintRules."""
    return [
        Reflector(
            client,
            path,
            ReflectorOptions(
                params=_PARAMS.get(kind),
                transform=_tolerant(kind, _TRANSFORMS[kind]) if kind in _TRANSFORMS else None,
                on_change=_reporter(kind, put),
                on_synced=on_synced,
                on_fatal=on_fatal,
                missing_is_empty=kind is Kind.RULE,
                keep_objects=False,  # Decisions have their own.
                page_limit=_PAGE_LIMITS.get(kind, PAGE_LIMIT),
            ),
        )
        for kind, path in _PATHS.items()
    ]


def _tolerant(kind: Kind, transform: Transform) -> Transform:
    """The same, but what it cannot read is left as it is: one object must not end the watch of all."""

    def read(raw: JsonObject) -> JsonObject:
        try:
            return transform(raw)
        except Exception:
            LOG.exception("object-not-shrunk", extra={"kind": str(kind), "object_name": raw["metadata"].get("name")})
            return raw

    return read


def _reporter(kind: Kind, put: Callable[[Observed], None]) -> Callable[[Change], None]:
    def report(change: Change) -> None:
        put(Observed(kind, change.object, deleted=change.type is ChangeType.DELETED))

    return report
