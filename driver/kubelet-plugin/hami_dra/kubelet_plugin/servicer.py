"""What kubelet asks about claims, in both versions of its protocol.

Here, and only here, a claim's failure becomes its answer: the other claims of
the call are served all the same.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc

from hami_dra.api.errors import ApiError
from hami_dra.api.names import ClaimUid
from hami_dra.api.pb import dra_v1_pb2 as v1
from hami_dra.api.pb import dra_v1_pb2_grpc as v1_grpc
from hami_dra.api.pb import dra_v1beta1_pb2 as v1beta1
from hami_dra.api.pb import dra_v1beta1_pb2_grpc as v1beta1_grpc
from hami_dra.api.resources import Claim
from hami_dra.kube.errors import KubeError
from hami_dra.kubelet_plugin import files, sockets
from hami_dra.kubelet_plugin.effects import ClaimReader
from hami_dra.kubelet_plugin.entries import ClaimRef, Entry
from hami_dra.kubelet_plugin.errors import ClaimRefused, PluginError
from hami_dra.kubelet_plugin.log import Log

_GRACE_SECONDS = 2.0
# Work on the node is done one claim at a time. Two of the threads may wait for changes of health.
_WORKERS = 6
_READERS = 8
_FORESEEN = (PluginError, KubeError, ApiError)


class ClaimWorker(Protocol):
    """Does the work on the node."""

    def prepare(self, claim: Claim) -> Entry:
        """Make the claim's shares real. Raises PluginError, ApiError."""
        ...

    def unprepare(self, uid: ClaimUid) -> None:
        """Take them back. Raises PluginError."""
        ...


class Reporter(Protocol):
    """Tells the world how a call ended; never raises and never waits."""

    def prepared(self, claim: Claim, entry: Entry, seconds: float) -> None:
        """The claim is ready."""
        ...

    def refused(self, ref: ClaimRef, claim: Claim | None, message: str, seconds: float) -> None:
        """The claim is not ready; `claim` is None where it could not be read."""
        ...

    def unprepared(self, ref: ClaimRef, message: str, seconds: float) -> None:
        """The claim is gone from the node, or not: then `message` says why."""
        ...


class _Addition(Protocol):
    """Another service for the same server."""

    def add_to(self, server: grpc.Server) -> None:
        """Register its handlers."""
        ...

    def close(self) -> None:
        """End what is being answered."""
        ...


@dataclass(frozen=True)
class _Prepared:
    entry: Entry | None
    error: str


@dataclass(frozen=True)
class _Read:
    """A claim as it was read, or why it was not."""

    claim: Claim | None = None
    error: Exception | None = None


class ClaimCalls:
    """One claim at a time, whatever the protocol's version."""

    def __init__(self, reader: ClaimReader, worker: ClaimWorker, reporter: Reporter, node_name: str) -> None:
        self._reader = reader
        self._worker = worker
        self._reporter = reporter
        self.node_name = node_name
        self._readers = ThreadPoolExecutor(max_workers=_READERS, thread_name_prefix="read")
        # For claims that are read and not yet prepared, of all calls: each may be as large as the API server takes.
        self._room = threading.BoundedSemaphore(_READERS)
        self._log = Log(__name__)

    def prepare_all(self, refs: Iterable[ClaimRef]) -> dict[ClaimUid, _Prepared]:
        """Each claim's completed entry, or why there is none."""
        waiting, reads = deque(dict.fromkeys(refs)), deque[tuple[ClaimRef, Future[_Read]]]()
        prepared: dict[ClaimUid, _Prepared] = {}
        try:
            while waiting or reads:
                # Read at once and before any lock is taken: a slow API server holds up nobody else.
                while waiting and self._room.acquire(blocking=not reads):
                    ref = waiting.popleft()
                    reads.append((ref, self._readers.submit(self._read, ref)))
                ref, read = reads[0]
                prepared[ref.uid] = self._prepare(ref, read.result)
                reads.popleft()
                self._room.release()
        finally:
            for _ in reads:
                self._room.release()
        return prepared

    def _read(self, ref: ClaimRef) -> _Read:
        try:
            return _Read(self._reader.read(ref))
        except Exception as error:
            return _Read(error=error)

    def _prepare(self, ref: ClaimRef, wait: Callable[[], _Read]) -> _Prepared:
        log, start = self._begin("prepare", ref), time.monotonic()
        read = wait()
        claim = read.claim
        try:
            if read.error:
                raise read.error
            if claim is None:
                raise ClaimRefused(f"claim {ref} with UID {ref.uid} is gone, or another one has its name")
            entry = self._worker.prepare(claim)
        except _FORESEEN as error:
            message = str(error)
            log.error("claim not prepared", error=message)
        except Exception as error:
            message = f"internal error of the driver: {error!r}"
            log.exception("claim not prepared", error=message)
        else:
            seconds = time.monotonic() - start
            log.info("claim prepared", seconds=round(seconds, 4), shares=[s.share_id for s in entry.shares])
            self._reporter.prepared(claim, entry, seconds)
            return _Prepared(entry, "")
        self._reporter.refused(ref, claim, message, time.monotonic() - start)
        return _Prepared(None, message)

    def unprepare(self, ref: ClaimRef) -> str:
        """Why the claim could not be taken from the node; empty where it was."""
        log, start = self._begin("unprepare", ref), time.monotonic()
        message = ""
        try:
            self._worker.unprepare(ref.uid)
            log.info("claim unprepared")
        except _FORESEEN as error:
            message = str(error)
            log.error("claim not unprepared", error=message)
        except Exception as error:
            message = f"internal error of the driver: {error!r}"
            log.exception("claim not unprepared", error=message)
        self._reporter.unprepared(ref, message, time.monotonic() - start)
        return message

    def _begin(self, operation: str, ref: ClaimRef) -> Log:
        log = self._log.bind(op_id=uuid.uuid4().hex[:8], op=operation, claim=str(ref), claim_uid=ref.uid)
        log.debug("call begins")
        return log


class ClaimServer:
    """Serves v1 and v1beta1 on `socket`, and what is added."""

    def __init__(self, socket: Path, calls: ClaimCalls, *additions: _Addition) -> None:
        self._socket = socket
        self._calls = calls
        self._additions = additions
        self._server: grpc.Server | None = None

    def start(self) -> None:
        """Bind and serve."""
        sockets.make_way(self._socket)
        self._server = grpc.server(ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="claims"))
        v1_grpc.add_DRAPluginServicer_to_server(_V1(self._calls), self._server)
        v1beta1_grpc.add_DRAPluginServicer_to_server(_V1Beta1(self._calls), self._server)
        for addition in self._additions:
            addition.add_to(self._server)
        self._server.add_insecure_port(sockets.address(self._socket))
        self._server.start()

    def stop(self) -> None:
        """Stop and leave no socket behind."""
        if self._server:
            stopped = self._server.stop(_GRACE_SECONDS)
            for addition in self._additions:
                addition.close()
            stopped.wait()
        files.remove_file(self._socket)


def _ref(claim: v1.Claim | v1beta1.Claim) -> ClaimRef:
    return ClaimRef(claim.namespace, claim.name, ClaimUid(claim.uid))


def _request_name(request: str) -> str:
    # kubelet knows requests, not the subrequest that was chosen.
    return request.partition("/")[0]


class _V1(v1_grpc.DRAPluginServicer):
    def __init__(self, calls: ClaimCalls) -> None:
        self._calls = calls

    def NodePrepareResources(  # noqa: N802
        self,
        request: v1.NodePrepareResourcesRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> v1.NodePrepareResourcesResponse:
        outcomes = self._calls.prepare_all(_ref(claim) for claim in request.claims)
        return v1.NodePrepareResourcesResponse(claims={uid: self._answer(o) for uid, o in outcomes.items()})

    def NodeUnprepareResources(  # noqa: N802
        self,
        request: v1.NodeUnprepareResourcesRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> v1.NodeUnprepareResourcesResponse:
        answers = {c.uid: self._calls.unprepare(_ref(c)) for c in request.claims}
        return v1.NodeUnprepareResourcesResponse(
            claims={uid: v1.NodeUnprepareResourceResponse(error=error) for uid, error in answers.items()}
        )

    def _answer(self, outcome: _Prepared) -> v1.NodePrepareResourceResponse:
        results = outcome.entry.results if outcome.entry else ()
        devices = [
            v1.Device(
                request_names=[_request_name(result.request)],
                pool_name=self._calls.node_name,
                device_name=result.device,
                cdi_device_ids=result.cdi_ids,
                share_id=result.share_id or None,
            )
            for result in results
        ]
        return v1.NodePrepareResourceResponse(devices=devices, error=outcome.error)


class _V1Beta1(v1beta1_grpc.DRAPluginServicer):
    def __init__(self, calls: ClaimCalls) -> None:
        self._calls = calls

    def NodePrepareResources(  # noqa: N802
        self,
        request: v1beta1.NodePrepareResourcesRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> v1beta1.NodePrepareResourcesResponse:
        outcomes = self._calls.prepare_all(_ref(claim) for claim in request.claims)
        return v1beta1.NodePrepareResourcesResponse(claims={uid: self._answer(o) for uid, o in outcomes.items()})

    def NodeUnprepareResources(  # noqa: N802
        self,
        request: v1beta1.NodeUnprepareResourcesRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> v1beta1.NodeUnprepareResourcesResponse:
        answers = {c.uid: self._calls.unprepare(_ref(c)) for c in request.claims}
        return v1beta1.NodeUnprepareResourcesResponse(
            claims={uid: v1beta1.NodeUnprepareResourceResponse(error=error) for uid, error in answers.items()}
        )

    def _answer(self, outcome: _Prepared) -> v1beta1.NodePrepareResourceResponse:
        results = outcome.entry.results if outcome.entry else ()
        devices = [
            v1beta1.Device(
                request_names=[_request_name(result.request)],
                pool_name=self._calls.node_name,
                device_name=result.device,
                cdi_device_ids=result.cdi_ids,
            )
            for result in results
        ]
        return v1beta1.NodePrepareResourceResponse(devices=devices, error=outcome.error)
