"""MIG through NVML: which GPUs are split, and into what."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pynvml  # type: ignore[import-untyped]

from hami_dra.kubelet_plugin.inventory import Gpu, MigInstance
from hami_dra.kubelet_plugin.nvml_library import ask

_ENABLED = 1
_PROFILE = re.compile(r"(?:^| MIG )((?:\d+c\.)?\d+g\.\d+gb\S*)$")
# The layout may change between two questions.
_VANISHED = (pynvml.NVMLError_NotFound, pynvml.NVMLError_InvalidArgument)
_EIGHTHS = 8
_GIB = 1 << 30
_MIB = 1 << 20


def is_split(handle: Any) -> bool:
    """Whether MIG is on, with instances or without."""
    return ask(lambda: pynvml.nvmlDeviceGetMigMode(handle)[0]) == _ENABLED


def instances_of(handle: Any) -> Iterator[tuple[str, Any]]:
    """UUID and handle of every instance of a GPU; a handle may lead to another instance once the layout changed."""
    for index in range(ask(partial(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle)) or 0):
        try:
            instance = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
            uuid = str(pynvml.nvmlDeviceGetUUID(instance))
        except _VANISHED:
            continue
        yield uuid, instance


def describe_instances(handle: Any, parent: Gpu) -> Iterator[Gpu]:
    """The instances of a GPU as devices of their own."""
    for uuid, instance in instances_of(handle):
        try:
            yield _describe(uuid, instance, parent)
        except _VANISHED:
            continue


def profile_name(compute_slices: int, gpu_slices: int, memory_mib: int, parent_bytes: int) -> str:
    """NVIDIA's name for an instance: its memory in whole gigabytes of so many eighths of the GPU's."""
    eighths = math.ceil(memory_mib * _MIB / parent_bytes * _EIGHTHS)
    gigabytes = math.floor(eighths / _EIGHTHS * math.ceil(parent_bytes / _GIB) + 0.5)
    part = "" if compute_slices == gpu_slices else f"{compute_slices}c."
    return f"{part}{gpu_slices}g.{gigabytes}gb"


def _describe(uuid: str, instance: Any, parent: Gpu) -> Gpu:
    attributes = ask(partial(pynvml.nvmlDeviceGetAttributes, instance))
    profile = _profile(instance, attributes, parent)
    return replace(
        parent,
        uuid=uuid,
        model=f"{parent.model} MIG {profile}".rstrip(),
        memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(instance).total),
        mig=MigInstance(parent.uuid, profile, attributes.multiprocessorCount if attributes else None),
    )


def _profile(instance: Any, attributes: Any, parent: Gpu) -> str:
    named = _PROFILE.search(str(ask(partial(pynvml.nvmlDeviceGetName, instance)) or ""))
    if named:
        return named[1]
    if attributes is None:
        return ""
    return profile_name(
        attributes.computeInstanceSliceCount,
        attributes.gpuInstanceSliceCount,
        attributes.memorySizeMB,
        parent.memory_bytes,
    )
