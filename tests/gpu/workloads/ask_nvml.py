"""Asks NVML as a program does that knows nothing of shares: memory in both versions, and the processes."""

import ctypes
import json
import sys


class Memory(ctypes.Structure):
    """nvmlMemory_t."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class MemoryV2(ctypes.Structure):
    """nvmlMemory_v2_t."""

    _fields_ = (
        ("version", ctypes.c_uint),
        ("total", ctypes.c_ulonglong),
        ("reserved", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


class Process(ctypes.Structure):
    """nvmlProcessInfo_t."""

    _fields_ = (("pid", ctypes.c_uint), ("used", ctypes.c_ulonglong), ("gi", ctypes.c_uint), ("ci", ctypes.c_uint))


def main() -> None:
    """Print one line of JSON."""
    nvml = ctypes.CDLL(f"{sys.argv[1]}/libnvidia-ml.so.1")
    device, count = ctypes.c_void_p(), ctypes.c_uint(64)
    memory, processes = Memory(), (Process * 64)()
    newer = MemoryV2(version=ctypes.sizeof(MemoryV2) | 2 << 24)
    assert nvml.nvmlInit_v2() == 0
    assert nvml.nvmlDeviceGetHandleByUUID(sys.argv[2].encode(), ctypes.byref(device)) == 0
    assert nvml.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)) == 0
    assert nvml.nvmlDeviceGetMemoryInfo_v2(device, ctypes.byref(newer)) == 0
    assert nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, ctypes.byref(count), processes) == 0
    found = {"v1": {"total": memory.total, "used": memory.used}, "v2": {"total": newer.total, "used": newer.used}}
    print(json.dumps({**found, "pids": [processes[i].pid for i in range(count.value)]}))


main()
