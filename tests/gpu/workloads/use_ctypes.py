"""Python on the driver itself, as cuda-python and Triton do it: dlopen and dlsym."""

import ctypes

from answering import answer

cuda = ctypes.CDLL("libcuda.so.1")


def must(code: int) -> None:
    """Raise what the driver says."""
    if code:
        name = ctypes.c_char_p()
        cuda.cuGetErrorName(code, ctypes.byref(name))
        raise RuntimeError(str(name.value))


def take(size: int) -> ctypes.c_uint64:
    """So many bytes."""
    memory = ctypes.c_uint64()
    must(cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(size)))
    return memory


def work() -> float:
    """Take and give back, many times."""
    for _ in range(200):
        must(cuda.cuMemFree_v2(take(1 << 20)))
    return 1.0


must(cuda.cuInit(0))
context, device, free, total = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_size_t(), ctypes.c_size_t()
must(cuda.cuDeviceGet(ctypes.byref(device), 0))
must(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device))
must(cuda.cuCtxSetCurrent(context))
must(cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)))
version = ctypes.c_int()
must(cuda.cuDriverGetVersion(ctypes.byref(version)))
answer(f"driver of CUDA {version.value // 1000}.{version.value % 1000 // 10}", total.value, work, take)
