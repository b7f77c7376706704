"""A local copy of a collection, kept up to date by list and watch on a thread of its own.

List in pages, watch from there; a watch that ends is taken up where it ended.
410, in the reply or in the stream, means that we missed something: list again
and tell the handler what the difference is, deletions too. Failures back off
with jitter. Python's own informer does neither that nor paging.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from hami_dra.api.resources import JsonObject
from hami_dra.kube.backoff import Backoff
from hami_dra.kube.cache import Change, ChangeType, Outlines, Store, object_key
from hami_dra.kube.errors import Gone, KubeError, NotFound, Unavailable
from hami_dra.kube.transport import PAGE_LIMIT, Client, Params, Transform, WatchEvent, WatchStream

__all__ = ["Change", "ChangeType", "Reflector", "ReflectorOptions", "Store"]

_LOG: Final = logging.getLogger(__name__)
# A watch that ended sooner may be one of a series that the server cuts short.
_HEALTHY_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectorOptions:
    """`missing_is_empty`: a collection that the server does not know counts as empty, and is asked for again.

    `transform` shrinks an object before it is stored and must keep its metadata's name, namespace, uid and
    resourceVersion. `on_change` runs on the reflector's thread after the store changed, and may block, so that no
    more is read than is handled; `on_synced` runs after every complete list and must not block. When one of them
    raises, the reflector ends and `on_fatal` gets the error. A server ends each watch after a random time within
    `watch_seconds`. Lists are read in pages of `page_limit`. Without `keep_objects` the store holds outlines only;
    then `transform` may leave the resourceVersion out, and what it makes the same as before is no change.
    """

    params: Params | None = None
    transform: Transform | None = None
    on_change: Callable[[Change], None] | None = None
    on_synced: Callable[[], None] | None = None
    on_fatal: Callable[[Exception], None] | None = None
    missing_is_empty: bool = False
    keep_objects: bool = True
    page_limit: int = PAGE_LIMIT
    watch_seconds: tuple[int, int] = (300, 600)
    backoff: Backoff = field(default_factory=Backoff)


class Reflector:
    """Keeps `store` equal to the collection at `path` from `start()` to `stop()`."""

    def __init__(self, client: Client, path: str, options: ReflectorOptions | None = None) -> None:
        self._options = options or ReflectorOptions()
        self.store = Store() if self._options.keep_objects else Outlines()
        self._client = client
        self._path = path
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)
        self._lock = threading.Lock()
        self._stream: WatchStream | None = None
        self._stopping = threading.Event()
        self._synced = threading.Event()
        self._wake = threading.Event()
        # "" means: list before the next watch.
        self._version = ""
        self._page_limit = self._options.page_limit
        self._generation = 0

    @property
    def has_synced(self) -> bool:
        """Whether a complete list was applied since the last start or relist."""
        return self._synced.is_set()

    def wait_synced(self, timeout_seconds: float) -> bool:
        """Wait for `has_synced`; False at the timeout."""
        return self._synced.wait(timeout_seconds)

    @property
    def running(self) -> bool:
        """Whether the thread lives: False before start, after stop and after a fatal error."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def relist(self) -> None:
        """Ask for a fresh list; `has_synced` is False from now until it is applied."""
        with self._lock:
            self._synced.clear()
            self._version = ""
            self._generation += 1
            self._interrupt()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """End the watch and the thread."""
        with self._lock:
            self._stopping.set()
            self._interrupt()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _interrupt(self) -> None:
        self._wake.set()
        if self._stream is not None:
            self._stream.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._cycle()
            except Unavailable as error:
                self._back_off(error, error.retry_after_seconds)
            except KubeError as error:
                # Gone, or a watch that the server will not go on with: only a fresh list is known to be right.
                self._version = ""
                self._back_off(error)
            except Exception as error:
                self._fail(error)
                return

    def _cycle(self) -> None:
        with self._lock:
            version, generation = self._version, self._generation
        if not version:
            self._list(generation)
            return
        span = random.randint(*self._options.watch_seconds)  # noqa: S311
        query = {**(self._options.params or {}), "resourceVersion": version, "timeoutSeconds": str(span)}
        stream = self._client.watch(self._path, query)
        with self._lock:
            if self._generation != generation or self._stopping.is_set():
                stream.close()
            self._stream = stream
        began = time.monotonic()
        try:
            self._consume(stream, generation)
        finally:
            with self._lock:
                self._stream = None
        if time.monotonic() - began >= _HEALTHY_SECONDS:
            self._options.backoff.reset()
        elif not self._wake.is_set():
            self._back_off(None)

    def _list(self, generation: int) -> None:
        """Take in a list page by page, and at last what is not in it; given up when another one was asked for."""
        options, seen, version = self._options, set[str](), ""
        pages = self._client.pages(self._path, options.params, limit=self._page_limit, transform=options.transform)
        try:
            for page in pages:
                if self._generation != generation or self._stopping.is_set():
                    return
                version = page.resource_version
                for item in page.items:
                    self._notify(self.store.put(item))
                    seen.add(object_key(item))
        except Gone:
            # The pages expire faster than we read them: ask for everything in one piece.
            self._page_limit = 0
            raise
        except NotFound:
            if not options.missing_is_empty:
                raise
        else:
            self._page_limit = options.page_limit
        self._notify(self.store.keep_only(seen))
        self._finish_list(version, generation)

    def _finish_list(self, version: str, generation: int) -> None:
        with self._lock:
            if self._generation != generation:
                return
            self._version = version
            self._wake.clear()
            self._synced.set()
        if self._options.on_synced:
            self._options.on_synced()
        if version:
            self._options.backoff.reset()
        else:
            self._back_off(None)

    def _consume(self, stream: WatchStream, generation: int) -> None:
        for event in stream:
            self._apply_event(event)
            self._options.backoff.reset()
            with self._lock:
                if self._generation != generation:
                    return
                self._version = event.object["metadata"]["resourceVersion"]

    def _apply_event(self, event: WatchEvent) -> None:
        if event.type == "BOOKMARK":
            return
        transform = self._options.transform
        item: JsonObject = transform(event.object) if transform else event.object
        self._notify(self.store.remove(item) if event.type == ChangeType.DELETED else self.store.put(item))

    def _notify(self, changes: Iterable[Change]) -> None:
        if self._options.on_change:
            for change in changes:
                self._options.on_change(change)

    def _back_off(self, error: KubeError | None, wanted_seconds: float | None = None) -> None:
        delay = max(self._options.backoff.next(), wanted_seconds or 0.0)
        if error:
            _LOG.warning("watch failed", extra={"path": self._path, "error": str(error), "retry_seconds": delay})
        self._wake.wait(delay)
        if not self._stopping.is_set():
            self._wake.clear()

    def _fail(self, error: Exception) -> None:
        self._synced.clear()
        _LOG.error("watch ended", extra={"path": self._path}, exc_info=error)
        if self._options.on_fatal:
            self._options.on_fatal(error)
