"""What NVML says of the whole GPU, asked from outside of every share."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path

from gpucheck.errors import CannotRun

_MAX_PROCESSES = 256
_TEXT_BYTES = 96
_UNKNOWN = (1 << 64) - 1


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class _Process(ctypes.Structure):
    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


class _Utilization(ctypes.Structure):
    _fields_ = (
        ("pid", ctypes.c_uint),
        ("at_us", ctypes.c_ulonglong),
        ("sm", ctypes.c_uint),
        ("memory", ctypes.c_uint),
        ("encoder", ctypes.c_uint),
        ("decoder", ctypes.c_uint),
    )


class Nvml:
    """One GPU."""

    def __init__(self, library: Path, uuid: str) -> None:
        try:
            self._library = ctypes.CDLL(str(library))
        except OSError as error:
            raise CannotRun(f"NVML cannot be loaded: {error}") from error
        self._device = ctypes.c_void_p()
        self._must("nvmlInit_v2")
        self._must("nvmlDeviceGetHandleByUUID", uuid.encode(), ctypes.byref(self._device))

    def _must(self, name: str, *arguments: object) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            raise CannotRun(f"{name} fails with {code}")

    def _text(self, name: str, *arguments: object) -> str:
        buffer = ctypes.create_string_buffer(_TEXT_BYTES)
        return "unknown" if getattr(self._library, name)(*arguments, buffer, _TEXT_BYTES) else buffer.value.decode()

    def facts(self) -> dict[str, str]:
        """What a report says of the GPU and its driver."""
        total, used = self.memory()
        version = ctypes.c_int()
        self._library.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(version))
        return {
            "GPU": self._text("nvmlDeviceGetName", self._device),
            "memory of the GPU": f"{total >> 20} MiB, {used >> 20} MiB of it in use at the start",
            "driver": self._text("nvmlSystemGetDriverVersion"),
            "CUDA of the driver": f"{version.value // 1000}.{version.value % 1000 // 10}",
        }

    def shares_with_others(self) -> bool:
        """Whether the compute mode lets several processes use the GPU; older NVML does not say."""
        mode = ctypes.c_int()
        self._library.nvmlDeviceGetComputeMode(self._device, ctypes.byref(mode))
        return mode.value == 0

    def memory(self) -> tuple[int, int]:
        """Total and used bytes."""
        memory = _Memory()
        self._must("nvmlDeviceGetMemoryInfo", self._device, ctypes.byref(memory))
        return memory.total, memory.used

    def utilization_since(self, seen_us: int) -> tuple[Mapping[int, float] | None, int]:
        """The percent of the GPU's time of each process, and the newest sample; None: nothing new, or not known."""
        count = ctypes.c_uint(_MAX_PROCESSES)
        found = (_Utilization * _MAX_PROCESSES)()
        since = ctypes.c_ulonglong(seen_us)
        if self._library.nvmlDeviceGetProcessUtilization(self._device, found, ctypes.byref(count), since):
            return None, seen_us
        samples = [found[i] for i in range(count.value)]
        newest = max((sample.at_us for sample in samples), default=seen_us)
        return {sample.pid: float(sample.sm) for sample in samples}, newest

    def processes(self) -> Mapping[int, int]:
        """The bytes of each process that NVML lists; those that it has no figure for are left out."""
        count = ctypes.c_uint(_MAX_PROCESSES)
        found = (_Process * _MAX_PROCESSES)()
        if self._library.nvmlDeviceGetComputeRunningProcesses_v3(self._device, ctypes.byref(count), found):
            return {}
        return {found[i].pid: found[i].used for i in range(count.value) if found[i].used != _UNKNOWN}
