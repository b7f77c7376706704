"""Which nodes the volumes of pods can be reached from, by PersistentVolumeClaims and the volumes they are bound to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hami_dra.api.resources import JsonObject
from hami_dra.controller.pods import Pod


class Volumes:
    """Volume names by claim, and node selectors by volume where it has one. Only the decision thread touches it."""

    def __init__(self) -> None:
        self._bound: dict[str, str] = {}
        self._selectors: dict[str, Mapping[str, Any]] = {}

    def put_claim(self, raw: JsonObject) -> bool:
        """Store a PersistentVolumeClaim; whether its volume changed."""
        key, volume = _key(raw), (raw.get("spec") or {}).get("volumeName") or ""
        changed = self._bound.get(key, "") != volume
        if volume:
            self._bound[key] = volume
        else:
            self._bound.pop(key, None)
        return changed

    def drop_claim(self, raw: JsonObject) -> None:
        """Forget a PersistentVolumeClaim."""
        self._bound.pop(_key(raw), None)

    def put_volume(self, raw: JsonObject) -> bool:
        """Store a PersistentVolume; whether its nodes changed."""
        name = raw["metadata"]["name"]
        selector = ((raw.get("spec") or {}).get("nodeAffinity") or {}).get("required")
        changed: bool = self._selectors.get(name) != selector
        if selector is None:
            self._selectors.pop(name, None)
        else:
            self._selectors[name] = selector
        return changed

    def drop_volume(self, raw: JsonObject) -> None:
        """Forget a PersistentVolume."""
        self._selectors.pop(raw["metadata"]["name"], None)

    def are_bound(self, pod: Pod) -> bool:
        """Whether all of the pod's claims have their volumes, so that it is known from where they can be reached."""
        return all(f"{pod.namespace}/{name}" in self._bound for name in pod.volume_claims)

    def selectors_of(self, pod: Pod) -> tuple[Mapping[str, Any], ...]:
        """The node selectors of the volumes that the pod's claims are bound to; all must hold.

        A claim that is not bound yet, or is missing, says nothing here: kube-scheduler knows what is to come of it.
        """
        volumes = (self._bound.get(f"{pod.namespace}/{name}", "") for name in pod.volume_claims)
        return tuple(self._selectors[volume] for volume in volumes if volume in self._selectors)


def _key(raw: JsonObject) -> str:
    return f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"
