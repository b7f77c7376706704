"""End pods in order, through the API server."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from hami_dra.kube.errors import KubeError, NotFound
from hami_dra.kube.paths import PODS, namespaced
from hami_dra.kube.transport import Client


class KubeEvictor:
    """Evicts by the Eviction API, which heeds disruption budgets."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def evict(self, namespace: str, pod: str) -> Future[KubeError | None]:
        """Ask for the eviction of one and return at once: why it was refused, None where it goes or is gone.

        The future raises what nobody foresaw.
        """
        answer: Future[KubeError | None] = Future()
        # The API server, or a webhook that it asks, may take as long as the client waits.
        thread = threading.Thread(target=self._ask, args=(namespace, pod, answer), name="evict", daemon=True)
        thread.start()
        return answer

    def _ask(self, namespace: str, pod: str, answer: Future[KubeError | None]) -> None:
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace},
        }
        try:
            self._client.create(namespaced(PODS, namespace, pod, "eviction"), body)
        except NotFound:
            answer.set_result(None)
        except KubeError as error:
            answer.set_result(error)
        # Whoever waits for the answer would never ask again without one.
        except Exception as error:
            answer.set_exception(error)
        else:
            answer.set_result(None)
