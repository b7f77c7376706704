"""Make kubelet know the driver: it finds our socket, asks who we are, and says whether it took us."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from hami_dra.api import names
from hami_dra.api.pb import pluginregistration_pb2 as pb
from hami_dra.api.pb import pluginregistration_pb2_grpc as pb_grpc
from hami_dra.kubelet_plugin import files, sockets

PLUGIN_TYPE = "DRAPlugin"
# Of those for claims kubelet takes the first one that it knows.
SUPPORTED_VERSIONS = ("v1.DRAPlugin", "v1beta1.DRAPlugin", "v1.DRAResourceHealth", "v1alpha1.DRAResourceHealth")
_GRACE_SECONDS = 1.0

StatusListener = Callable[[bool, str], None]


class RegistrationServer:
    """Serves kubelet's registration protocol on `socket` for the driver that listens on `endpoint`."""

    def __init__(self, socket: Path, endpoint: Path, on_status: StatusListener) -> None:
        self._socket = socket
        self._servicer = _Registration(endpoint, on_status)
        self._server: grpc.Server | None = None

    def start(self) -> None:
        """Bind and serve; the endpoint must be serving already, kubelet dials it at once."""
        sockets.make_way(self._socket)
        self._server = grpc.server(ThreadPoolExecutor(max_workers=2, thread_name_prefix="registration"))
        pb_grpc.add_RegistrationServicer_to_server(self._servicer, self._server)
        self._server.add_insecure_port(sockets.address(self._socket))
        self._server.start()

    def stop(self) -> None:
        """Stop and leave no socket behind."""
        if self._server:
            self._server.stop(_GRACE_SECONDS).wait()
        files.remove_file(self._socket)


class _Registration(pb_grpc.RegistrationServicer):
    def __init__(self, endpoint: Path, on_status: StatusListener) -> None:
        self._endpoint = endpoint
        self._on_status = on_status

    def GetInfo(self, request: pb.InfoRequest, context: grpc.ServicerContext) -> pb.PluginInfo:  # noqa: ARG002, N802
        return pb.PluginInfo(
            type=PLUGIN_TYPE,
            name=names.DRIVER,
            endpoint=str(self._endpoint),
            supported_versions=SUPPORTED_VERSIONS,
        )

    def NotifyRegistrationStatus(  # noqa: N802
        self, request: pb.RegistrationStatus, context: grpc.ServicerContext
    ) -> pb.RegistrationStatusResponse:
        self._on_status(request.plugin_registered, request.error)
        if not request.plugin_registered:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"kubelet refused the driver: {request.error}")
        return pb.RegistrationStatusResponse()
