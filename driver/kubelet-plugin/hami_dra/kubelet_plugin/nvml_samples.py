"""Sample the GPUs through NVML, over one session that stays open while the driver answers.

Without a session the driver of a GPU that nobody uses is shut down and started
again at every look, which takes seconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pynvml  # type: ignore[import-untyped]

from hami_dra.kubelet_plugin.errors import DriverUnavailable
from hami_dra.kubelet_plugin.nvml_library import ask, close_session, open_session
from hami_dra.kubelet_plugin.nvml_mig import instances_of, is_split
from hami_dra.kubelet_plugin.samples import GpuSample, Sample

_GONE = (
    pynvml.NVMLError_Uninitialized,
    pynvml.NVMLError_DriverNotLoaded,
    pynvml.NVMLError_LibRmVersionMismatch,
)


class NvmlSampler:
    """For one thread. What has no answer is left out; nothing is raised but DriverUnavailable."""

    def __init__(self, driver_root: Path) -> None:
        self._driver_root = driver_root
        self._session: object | None = None
        self._handles: dict[str, Any] = {}
        self._last_seen: dict[str, int] = {}

    def sample(self) -> Sample:
        """All GPUs and MIG instances now. Raises DriverUnavailable; the next call starts afresh."""
        try:
            if self._session is None:
                self._open()
            found = [self._try_gpu(uuid, handle) for uuid, handle in self._devices()]
            return {gpu.uuid: gpu for gpu in found if gpu}
        except pynvml.NVMLError as error:
            self.close()
            raise DriverUnavailable(f"NVML under {self._driver_root} stopped answering: {error}") from error

    def close(self) -> None:
        """End the session: the driver can then be unloaded."""
        if self._session is not None:
            close_session(self._session)
        self._session = None
        self._handles = {}

    def _open(self) -> None:
        self._session = open_session(self._driver_root)
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                self._handles[pynvml.nvmlDeviceGetUUID(handle)] = handle
            except (pynvml.NVMLError_GpuIsLost, pynvml.NVMLError_NoPermission):
                continue

    def _devices(self) -> Iterator[tuple[str, Any]]:
        """A GPU, or in its place the instances that it is split into just now."""
        for uuid, handle in self._handles.items():
            try:
                found = list(instances_of(handle)) if is_split(handle) else [(uuid, handle)]
            except _GONE:
                raise
            except pynvml.NVMLError:
                continue
            yield from found

    def _try_gpu(self, uuid: str, handle: Any) -> GpuSample | None:
        try:
            return self._sample_gpu(uuid, handle)
        except _GONE:
            raise
        except pynvml.NVMLError:
            # One GPU that fell off the bus must not take the others with it.
            return None

    def _sample_gpu(self, uuid: str, handle: Any) -> GpuSample:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        rates = ask(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle))
        return GpuSample(
            uuid=uuid,
            memory_used_bytes=memory.used,
            memory_total_bytes=memory.total,
            busy_percent=rates.gpu if rates else None,
            memory_busy_percent=rates.memory if rates else None,
            processes=_processes(handle),
            busy=self._busy(uuid, handle),
        )

    def _busy(self, uuid: str, handle: Any) -> dict[int, float] | None:
        last = self._last_seen.get(uuid, 0)
        try:
            samples = ask(lambda: pynvml.nvmlDeviceGetProcessUtilization(handle, last))
        except (pynvml.NVMLError_NotFound, pynvml.NVMLError_InsufficientSize):
            # Nobody worked since the last look; or somebody came between asking how many and asking for them.
            return {}
        if samples is None:
            return None
        percents = defaultdict[int, list[int]](list)
        for sample in samples:
            if sample.timeStamp > last:
                percents[sample.pid].append(sample.smUtil)
        self._last_seen[uuid] = max((sample.timeStamp for sample in samples), default=last)
        return {pid: sum(values) / len(values) for pid, values in percents.items() if pid}


def _processes(handle: Any) -> dict[int, int] | None:
    found = ask(lambda: pynvml.nvmlDeviceGetComputeRunningProcesses(handle))
    if found is None:
        return None
    graphics = ask(lambda: pynvml.nvmlDeviceGetGraphicsRunningProcesses(handle)) or []
    # A process with both kinds of contexts is in both lists with the same sum.
    used = {process.pid: process.usedGpuMemory for process in (*graphics, *found)}
    return {pid: used_bytes for pid, used_bytes in used.items() if used_bytes is not None}
