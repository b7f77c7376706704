"""python -m hollow.kubelet: plays the kubelets of all nodes.

Bound pods whose claims could be prepared run and are ready; pods that are being deleted are removed; pods finish when
they are told to. Stopped like a process, started again like one: it keeps nothing.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlencode

from hami_dra.api.resources import JsonObject
from hami_dra.kube.cache import object_key
from hami_dra.kube.errors import Conflict, KubeError, NotFound
from hami_dra.kube.paths import CLAIMS, PODS, namespaced
from hami_dra.kube.reflector import Change, ChangeType, Reflector, ReflectorOptions
from hami_dra.kube.transport import Client, connect
from hami_dra.kubelet_plugin.clock import timestamp
from hollow.agenda import Agenda
from hollow.pod_plan import Step, claim_names, finish_seconds, next_step, running, succeeded, usable

LOG = logging.getLogger("hollow.kubelet")

_BOUND = {"fieldSelector": "spec.nodeName!="}
_STRATEGIC = "application/strategic-merge-patch+json"
_RETRY_SECONDS = 1.0


class Kubelet:
    """One watch of all bound pods, some threads that act."""

    def __init__(self, client: Client, finish_after: float | None = None, workers: int = 4) -> None:
        self._client = client
        self._finish_after = finish_after
        self._agenda = Agenda()
        self._done: set[tuple[str, Step]] = set()
        self._pods = Reflector(client, PODS, ReflectorOptions(params=_BOUND, on_change=self._changed))
        self._threads = [threading.Thread(target=self._work, name=f"worker-{n}", daemon=True) for n in range(workers)]

    def start(self) -> None:
        self._pods.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._pods.stop()
        self._agenda.close()
        for thread in self._threads:
            thread.join(5)

    def _changed(self, change: Change) -> None:
        if change.type is ChangeType.DELETED:
            uid = change.object["metadata"]["uid"]
            self._done -= {(uid, step) for step in Step}
            return
        self._agenda.put(object_key(change.object), self._delay(change.object))

    def _delay(self, pod: JsonObject) -> float:
        if next_step(pod, self._finish_after) is not Step.FINISH:
            return 0.0
        began = datetime.fromisoformat(pod["status"]["startTime"]).timestamp()
        return max(began + (finish_seconds(pod, self._finish_after) or 0.0) - time.time(), 0.0)

    def _work(self) -> None:
        while (key := self._agenda.take()) is not None:
            try:
                self._look(key)
            except (NotFound, Conflict):
                LOG.debug("pod %s is gone or another one", key)
            except KubeError as error:
                LOG.warning("pod %s: %s", key, error)
                self._agenda.put(key, _RETRY_SECONDS)

    def _look(self, key: str) -> None:
        pod = self._pods.store.get(key)
        if pod is None:
            return
        step = next_step(pod, self._finish_after)
        mark = (pod["metadata"]["uid"], step)
        if step is Step.NOTHING or mark in self._done:
            return
        if step is Step.FINISH and self._delay(pod) > 0:
            self._agenda.put(key, self._delay(pod))
            return
        if step is Step.RUN and not self._prepared(pod):
            self._agenda.put(key, _RETRY_SECONDS)
            return
        self._act(pod, step)
        self._done.add(mark)  # our own watch shows it later

    def _act(self, pod: JsonObject, step: Step) -> None:
        metadata = pod["metadata"]
        if step is Step.REMOVE:
            remove_pod(self._client, metadata["namespace"], metadata["name"], metadata["uid"])
            return
        path = namespaced(PODS, metadata["namespace"], metadata["name"], "status")
        body = running(pod, timestamp()) if step is Step.RUN else succeeded(pod, timestamp())
        self._client.patch(path, body, content_type=_STRATEGIC)

    def _prepared(self, pod: JsonObject) -> bool:
        claims, namespace = claim_names(pod), pod["metadata"]["namespace"]
        if not claims.known:
            return False
        found = (self._client.get(namespaced(CLAIMS, namespace, name)) for name in claims.names)
        try:
            return all(usable(claim, pod) for claim in found)
        except NotFound:
            return False


def remove_pod(client: Client, namespace: str, name: str, uid: str = "") -> None:
    """Remove a pod at once, as kubelet does at its end and `kubectl delete --force` at any time. Raises KubeError."""
    query = {"gracePeriodSeconds": "0"} | ({"uid": uid} if uid else {})
    client.delete(f"{namespaced(PODS, namespace, name)}?{urlencode(query)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m hollow.kubelet", description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--finish-after", type=float, metavar="SECONDS", help="pods without the annotation; else never")
    parser.add_argument("--workers", type=int, default=4)
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    kubelet = Kubelet(connect(arguments.kubeconfig), arguments.finish_after, arguments.workers)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    kubelet.start()
    stopping.wait()
    kubelet.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
