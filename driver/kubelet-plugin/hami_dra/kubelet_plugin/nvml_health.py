"""What NVML says about the health of GPUs: events as they come, and how things stand."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pynvml  # type: ignore[import-untyped]

from hami_dra.kubelet_plugin.errors import DriverInterrupted, DriverUnavailable
from hami_dra.kubelet_plugin.health_plan import GpuState, XidEvent
from hami_dra.kubelet_plugin.nvml_handles import AGAIN_SECONDS, Handles
from hami_dra.kubelet_plugin.nvml_library import GONE, ask, close_session, open_session
from hami_dra.kubelet_plugin.nvml_mig import instances_of, is_split

_EVENTS = pynvml.nvmlEventTypeXidCriticalError | pynvml.nvmlEventTypeDoubleBitEccError
# An ECC error that could not be corrected has this XID too; GPUs that send only the event are told apart by nobody.
_XID_OF_ECC = 48


@dataclass
class _Session:
    token: object
    events: Any
    handles: Handles
    instances: dict[str, tuple[str, ...]] = field(default_factory=dict)


class NvmlHealth:
    """For one thread. A session stays open while the driver answers; every error of it ends it.

    GPUs that come, or answer again, are watched `again_seconds` later at the latest.
    """

    def __init__(self, driver_root: Path, again_seconds: float = AGAIN_SECONDS) -> None:
        self._driver_root = driver_root
        self._again_seconds = again_seconds
        self._session: _Session | None = None

    def wait(self, seconds: float) -> XidEvent | None:
        """The next event; None after that time. Raises DriverUnavailable, DriverInterrupted."""
        session = self._open()
        try:
            data = pynvml.nvmlEventSetWait_v2(session.events, int(seconds * 1000))
            code = int(data.eventData) if data.eventType == pynvml.nvmlEventTypeXidCriticalError else _XID_OF_ECC
            return XidEvent(_uuid_of(data.device), code)
        except pynvml.NVMLError_Timeout:
            return None
        except pynvml.NVMLError as error:
            raise self._ended(error) from error

    def read(self) -> dict[str, GpuState]:
        """How every GPU stands that answered once. Raises DriverUnavailable, DriverInterrupted."""
        session = self._open()
        try:
            _watch_new(session)
            return {uuid: self._state(session, uuid) for uuid in session.handles.by_uuid}
        except pynvml.NVMLError as error:
            raise self._ended(error) from error

    def _state(self, session: _Session, uuid: str) -> GpuState:
        state = _state(session.handles.by_uuid[uuid])
        if not state.lost:
            session.instances[uuid] = state.instances
        # A GPU that is lost cannot say any more which instances are lost with it.
        return replace(state, instances=session.instances.get(uuid, ()))

    def close(self) -> None:
        """End the session: the driver can then be unloaded."""
        session, self._session = self._session, None
        if session:
            # The driver may have gone away first.
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlEventSetFree(session.events)
            close_session(session.token)

    def _open(self) -> _Session:
        if self._session is None:
            token = open_session(self._driver_root)
            try:
                session = _Session(token, pynvml.nvmlEventSetCreate(), Handles(self._again_seconds))
                _watch_new(session)
                self._session = session
            except pynvml.NVMLError as error:
                close_session(token)
                raise DriverUnavailable(f"NVML under {self._driver_root} does not start: {error}") from error
        return self._session

    def _ended(self, error: Any) -> DriverUnavailable:
        self.close()
        kind = DriverUnavailable if isinstance(error, GONE) else DriverInterrupted
        return kind(f"NVML under {self._driver_root} stopped answering: {error}")


def _watch_new(session: _Session) -> None:
    for handle in session.handles.take_in().values():
        try:
            supported = int(ask(partial(pynvml.nvmlDeviceGetSupportedEventTypes, handle)) or 0)
            if supported & _EVENTS:
                pynvml.nvmlDeviceRegisterEvents(handle, supported & _EVENTS, session.events)
        except GONE:
            raise
        except pynvml.NVMLError:
            # It has no events, or fails just now: the others are watched all the same.
            continue


def _uuid_of(device: Any) -> str | None:
    try:
        return str(pynvml.nvmlDeviceGetUUID(device))
    except pynvml.NVMLError:
        # It is gone already; the next look says which.
        return None


def _state(handle: Any) -> GpuState:
    try:
        return GpuState(
            uncorrected_errors=ask(
                lambda: int(
                    pynvml.nvmlDeviceGetTotalEccErrors(
                        handle, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
                    )
                )
            ),
            recovery_action=ask(lambda: _recovery_action(handle)),
            instances=tuple(uuid for uuid, _ in instances_of(handle)) if is_split(handle) else (),
        )
    except GONE:
        raise
    except pynvml.NVMLError:
        # Whatever its error: it does not answer, and the others must be looked at.
        return GpuState(lost=True)


def _recovery_action(handle: Any) -> int | None:
    (value,) = pynvml.nvmlDeviceGetFieldValues(handle, [pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION])
    return int(value.value.uiVal) if value.nvmlReturn == pynvml.NVML_SUCCESS else None
