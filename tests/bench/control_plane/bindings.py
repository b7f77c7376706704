"""When each pod was bound, by a watch."""

from __future__ import annotations

import threading
import time

from hami_dra.api.resources import JsonObject
from hami_dra.kube.paths import PODS
from hami_dra.kube.reflector import Change, ChangeType, Reflector, ReflectorOptions
from hami_dra.kube.transport import Client


class Bindings:
    """The Unix time at which the binding of each pod was seen; only those that come after `start`."""

    def __init__(self, client: Client) -> None:
        self.times: dict[str, float] = {}
        self._changed = threading.Condition()
        options = ReflectorOptions(
            params={"fieldSelector": "spec.nodeName!="}, transform=_smaller, on_change=self._seen
        )
        self._reflector = Reflector(client, PODS, options)

    def start(self) -> None:
        """Start to watch; returns when what was bound before is known."""
        self._reflector.start()
        self._reflector.wait_synced(60)

    def stop(self) -> None:
        self._reflector.stop()

    def wait(self, count: int, patience: float) -> bool:
        """Until so many are bound; False when none was bound for `patience` seconds."""
        with self._changed:
            while len(self.times) < count:
                if not self._changed.wait(patience):
                    return False
        return True

    def _seen(self, change: Change) -> None:
        if change.type is ChangeType.DELETED:
            return
        with self._changed:
            self.times.setdefault(change.object["metadata"]["name"], time.time())
            self._changed.notify_all()


def _smaller(pod: JsonObject) -> JsonObject:
    kept = ("name", "namespace", "uid", "resourceVersion")
    return {"metadata": {key: pod["metadata"][key] for key in kept}}
