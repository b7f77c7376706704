"""The driver's libnvidia-ml: found under the driver root, loaded anew after the driver was exchanged."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pynvml  # type: ignore[import-untyped]

from hami_dra.kubelet_plugin.device_access import refusal
from hami_dra.kubelet_plugin.errors import DriverUnavailable

# The folders of Debian, of Red Hat, and of a driver container's root.
_PLACES = (
    "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
    "usr/lib/aarch64-linux-gnu/libnvidia-ml.so.1",
    "usr/lib64/libnvidia-ml.so.1",
    "usr/lib/libnvidia-ml.so.1",
)
GONE = (
    pynvml.NVMLError_Uninitialized,
    pynvml.NVMLError_DriverNotLoaded,
    pynvml.NVMLError_LibRmVersionMismatch,
)
"""What NVML says where the driver itself went away. Any other error may be that of one GPU: many that fell off the
bus answer with an unknown one."""
_T = TypeVar("_T")
_LOADING = threading.Lock()
_loaded_from: list[tuple[Path, int, int]] = []
_open_sessions: list[object] = []


@contextmanager
def session(driver_root: Path) -> Iterator[None]:
    """NVML between nvmlInit and nvmlShutdown; may be nested, as NVML counts them.

    Raises:
        DriverUnavailable: no driver answers; the text says what was tried.
    """
    token = open_session(driver_root)
    try:
        yield
    finally:
        close_session(token)


def open_session(driver_root: Path) -> object:
    """As `session`, without a block to end it. Raises DriverUnavailable."""
    with _LOADING:
        _load(driver_root)
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            reasons = filter(None, (f"NVML under {driver_root} does not start: {error}", refusal(driver_root)))
            raise DriverUnavailable("; ".join(reasons)) from error
        token = object()
        _open_sessions.append(token)
        return token


def close_session(token: object) -> None:
    """End it; a second time does nothing."""
    with _LOADING:
        if token not in _open_sessions:
            return
        _open_sessions.remove(token)
        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError:
            # The driver went away first.
            return


def ask(question: Callable[[], _T]) -> _T | None:
    """What NVML answers; None where this driver or GPU does not say."""
    try:
        return question()
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound, pynvml.NVMLError_InvalidArgument):
        return None


def _load(driver_root: Path) -> None:
    try:
        identity = _identify(driver_root)
    except DriverUnavailable:
        if pynvml.nvmlLib is not None and _open_sessions:
            return
        raise
    path, *_ = identity
    if pynvml.nvmlLib is not None and (_loaded_from == [identity] or _open_sessions):
        return
    try:
        # By the file's own name, which has the version in it: for a name that it knows the loader returns what it has.
        library = ctypes.CDLL(str(path.resolve()))
    except OSError as error:
        raise DriverUnavailable(f"cannot load {path}: {error}") from error
    # After a driver update the old library would only say that versions do not match.
    pynvml.nvmlLib = library
    pynvml._nvmlGetFunctionPointer_cache.clear()
    _loaded_from[:] = [identity]


def _identify(driver_root: Path) -> tuple[Path, int, int]:
    tried = [driver_root / place for place in _PLACES]
    try:
        path = next((candidate for candidate in tried if candidate.exists()), None)
        status = path.stat() if path else None
    except OSError as error:
        # What a driver container that ended left of its mounts may answer with any error.
        raise DriverUnavailable(f"cannot look for libnvidia-ml.so.1 under {driver_root}: {error}") from error
    if path is None or status is None:
        raise DriverUnavailable(f"no libnvidia-ml.so.1 under {driver_root}, e.g. at {tried[0]}")
    return path, status.st_ino, status.st_mtime_ns
