"""hami-dra-kubelet-plugin: the process around the plugin."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from hami_dra.kube.errors import KubeError
from hami_dra.kube.transport import connect
from hami_dra.kubelet_plugin import log
from hami_dra.kubelet_plugin.containers import ContainerFinder
from hami_dra.kubelet_plugin.errors import PluginError, SettingsError
from hami_dra.kubelet_plugin.nvml import NvmlSource
from hami_dra.kubelet_plugin.nvml_health import NvmlHealth
from hami_dra.kubelet_plugin.nvml_samples import NvmlSampler
from hami_dra.kubelet_plugin.pci import PciTree
from hami_dra.kubelet_plugin.plugin import Outside, Plugin
from hami_dra.kubelet_plugin.pod_resources import PodResources
from hami_dra.kubelet_plugin.processes import HostProcesses
from hami_dra.kubelet_plugin.settings import Settings, load_settings
from hami_dra.kubelet_plugin.toolkit import Toolkit

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LOG = log.Log(__name__)
_M_ARENA_MAX = -8


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; 0 after those, 2 for wrong settings, 1 for anything that ended us."""
    _save_memory()
    log.configure()
    try:
        settings = load_settings(sys.argv[1:] if arguments is None else arguments, os.environ)
    except SettingsError as error:
        _LOG.error("wrong settings", error=str(error))
        return 2
    log.configure(logging.getLevelNamesMapping()[settings.log_level])
    try:
        return _run(settings)
    except (PluginError, KubeError, OSError) as error:
        _LOG.error("ended", error=str(error))
        return 1


def _save_memory() -> None:
    # Else glibc gives each of two dozen threads a heap of its own, and every node pays for them.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_M_ARENA_MAX, 2)


def _run(settings: Settings) -> int:
    stopping, failed = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    def end_with_thread(ended: threading.ExceptHookArgs) -> None:
        # A daemon with a dead thread looks healthy and is not.
        _LOG.error("a thread died", thread=ended.thread.name if ended.thread else "", error=repr(ended.exc_value))
        sys.__excepthook__(ended.exc_type, ended.exc_value or ended.exc_type(), ended.exc_traceback)
        failed.set()
        stopping.set()

    threading.excepthook = end_with_thread
    plugin = Plugin(settings, _outside(settings, stopping))
    try:
        plugin.start()
        _LOG.info("serving", node=settings.node_name, allocator=settings.allocator.value)
        stopping.wait()
        _LOG.info("stopping")
    finally:
        plugin.stop()
    return int(failed.is_set())


def _outside(settings: Settings, stopping: threading.Event) -> Outside:
    roots = settings.roots
    driver_root = roots.seen(roots.driver)
    pod_resources = PodResources(settings.pod_resources_socket)
    return Outside(
        client=connect(settings.kubeconfig or None),
        gpus=NvmlSource(driver_root, PciTree((driver_root / "sys", Path("/sys"))), settings.gpu_filter.admits),
        toolkit=Toolkit(roots, settings.toolkit_paths),
        health=NvmlHealth(driver_root),
        sampler=NvmlSampler(driver_root),
        find_container=ContainerFinder().find,
        consumers=pod_resources,
        device_ids=pod_resources,
        processes=HostProcesses(),
        boot_id=_BOOT_ID.read_text().strip(),
        stopping=stopping,
    )


if __name__ == "__main__":
    sys.exit(main())
