"""Sample the GPUs through NVML, over one session that stays open while the driver answers.

Without a session the driver of a GPU that nobody uses is shut down and started
again at every look, which takes seconds.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pynvml  # type: ignore[import-untyped]

from hami_dra.kubelet_plugin.errors import DriverUnavailable
from hami_dra.kubelet_plugin.nvml_handles import AGAIN_SECONDS, Handles
from hami_dra.kubelet_plugin.nvml_library import GONE, ask, close_session, open_session
from hami_dra.kubelet_plugin.nvml_mig import instances_of, is_split
from hami_dra.kubelet_plugin.samples import GpuSample, Sample, Work, asked_since, monotonic_of


class NvmlSampler:
    """For one thread. What has no answer is left out; nothing is raised but DriverUnavailable."""

    def __init__(self, driver_root: Path, again_seconds: float = AGAIN_SECONDS) -> None:
        self._driver_root = driver_root
        self._again_seconds = again_seconds
        self._session: object | None = None
        self._handles = Handles(again_seconds)
        self._last_seen: dict[str, int] = {}
        self._last_worked: dict[str, int] = {}
        self._worked_ns: dict[str, int] = {}

    def sample(self) -> Sample:
        """All GPUs and MIG instances now. Raises DriverUnavailable; the next call starts afresh."""
        with self._answering():
            self._handles.take_in()
            found = [self._try_gpu(uuid, handle) for uuid, handle in self._devices()]
            return {gpu.uuid: gpu for gpu in found if gpu}

    def work(self) -> Mapping[str, Work]:
        """What processes did since the last question, of GPUs of which there is news. Raises DriverUnavailable."""
        with self._answering():
            found = {uuid: self._try_work(uuid, handle) for uuid, handle in self._devices()}
            return {uuid: work for uuid, work in found.items() if work}

    def close(self) -> None:
        """End the session: the driver can then be unloaded."""
        if self._session is not None:
            close_session(self._session)
        self._session = None
        self._handles = Handles(self._again_seconds)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            if self._session is None:
                self._open()
            yield
        except pynvml.NVMLError as error:
            self.close()
            raise DriverUnavailable(f"NVML under {self._driver_root} stopped answering: {error}") from error

    def _open(self) -> None:
        self._session = open_session(self._driver_root)
        self._handles.take_in()

    def _devices(self) -> Iterator[tuple[str, Any]]:
        """A GPU, or in its place the instances that it is split into just now."""
        for uuid, handle in self._handles.by_uuid.items():
            try:
                found = list(instances_of(handle)) if is_split(handle) else [(uuid, handle)]
            except GONE:
                raise
            except pynvml.NVMLError:
                continue
            yield from found

    def _try_work(self, uuid: str, handle: Any) -> Work | None:
        before, since = self._last_worked.get(uuid), self._worked_ns.get(uuid)
        try:
            percents = _busy(handle, uuid, self._last_worked)
        except GONE:
            raise
        except pynvml.NVMLError:
            return None
        now, last = time.monotonic_ns(), self._last_worked.get(uuid)
        if last is None or last == before:
            return None
        dated = monotonic_of(last, now, time.time_ns())
        until = self._worked_ns[uuid] = now if dated is None else dated
        return Work(since, until, percents, dated is not None) if since is not None and percents else None

    def _try_gpu(self, uuid: str, handle: Any) -> GpuSample | None:
        try:
            return self._sample_gpu(uuid, handle)
        except GONE:
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
            busy=_busy(handle, uuid, self._last_seen),
        )


def _busy(handle: Any, uuid: str, last_seen: dict[str, int]) -> dict[int, float] | None:
    last = last_seen.get(uuid, 0)
    since = asked_since(last, time.monotonic_ns(), time.time_ns())
    try:
        samples = ask(lambda: pynvml.nvmlDeviceGetProcessUtilization(handle, since))
    except (pynvml.NVMLError_NotFound, pynvml.NVMLError_InsufficientSize):
        # Nobody worked since the last look; or somebody came between asking how many and asking for them.
        return {}
    if samples is None:
        return None
    percents = defaultdict[int, list[int]](list)
    for sample in samples:
        if sample.timeStamp and sample.timeStamp >= since:
            percents[sample.pid].append(sample.smUtil)
    last_seen[uuid] = max((sample.timeStamp for sample in samples), default=last)
    return {pid: sum(values) / len(values) for pid, values in percents.items() if pid}


def _processes(handle: Any) -> dict[int, int] | None:
    found = ask(lambda: pynvml.nvmlDeviceGetComputeRunningProcesses(handle))
    if found is None:
        return None
    graphics = ask(lambda: pynvml.nvmlDeviceGetGraphicsRunningProcesses(handle)) or []
    # A process with both kinds of contexts is in both lists with the same sum.
    used = {process.pid: process.usedGpuMemory for process in (*graphics, *found)}
    return {pid: used_bytes for pid, used_bytes in used.items() if used_bytes is not None}
