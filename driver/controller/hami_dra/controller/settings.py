"""Settings of the controller: defaults, then the YAML file, then the environment, then flags."""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, get_type_hints
from uuid import uuid4

import yaml

from hami_dra.controller.errors import SettingsError

DEFAULT_FILE = Path("/etc/hami-dra/config.yaml")
MOST_WRITES = 64
_PREFIX = "HAMI_DRA_"
_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})


class Allocator(StrEnum):
    """Who allocates our devices in this cluster; never both."""

    CONTROLLER = "controller"
    SCHEDULER = "scheduler"


class Spreading(StrEnum):
    """Which candidate comes first: the fullest or the emptiest."""

    BINPACK = "binpack"
    SPREAD = "spread"


class DeviceOrder(StrEnum):
    """Which GPU of a node comes first; topology: the best connected set."""

    BINPACK = "binpack"
    SPREAD = "spread"
    TOPOLOGY = "topology"


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"

    @classmethod
    def _missing_(cls, value: object) -> LogLevel | None:
        """Any case."""
        return next((level for level in cls if level.value == str(value).upper()), None)


@dataclass(frozen=True)
class Settings:
    """Everything an operator can choose."""

    allocator: Allocator = Allocator.CONTROLLER
    """Who allocates; ``scheduler`` makes the controller only report."""
    kubeconfig: str = ""
    """Path of a kubeconfig; empty means in-cluster credentials, then ``KUBECONFIG``."""
    lease_namespace: str = "hami-dra"
    """Namespace of the Lease by which one replica leads."""
    lease_name: str = "hami-dra-controller"
    """Name of that Lease."""
    identity: str = ""
    """Begins this process's name in the Lease where the pod's name and UID are not known; empty: the host's name."""
    pod_name: str = ""
    """Name of the pod this runs in, by the downward API."""
    pod_uid: str = ""
    """UID of that pod, by the downward API."""
    require_cores: bool = False
    """Refuse shares that leave ``cores`` at 0, which would be unlimited."""
    unbound_timeout_seconds: int = 30
    """How long an allocation may wait for its pod to be bound before it is taken back."""
    keep_place_after_seconds: int = 60
    """How long a pod waits before a place is kept free for it; 0: never."""
    gate_and_pin: bool = False
    """Allocate for pods while our scheduling gate holds them, and pin them to the node when it goes."""
    concurrent_writes: int = 16
    """How many allocations are written at the same time."""
    placement_node: Spreading = Spreading.BINPACK
    """Order of nodes where the claim does not say."""
    placement_device: DeviceOrder = DeviceOrder.BINPACK
    """Order of GPUs on a node where the claim does not say."""
    http_address: str = ":8080"
    """Where /healthz, /readyz and /metrics are served."""
    log_level: LogLevel = LogLevel.INFO
    """Least level that is logged."""


def load(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Settings:
    """Read all sources, later ones winning: defaults, file, environment, flags. SettingsError names what is wrong."""
    environment = os.environ if environment is None else environment
    flags = {name: value for name, value in vars(_parser().parse_args(arguments)).items() if value is not None}
    file = flags.pop("config", None) or environment.get(f"{_PREFIX}CONFIG")
    merged = _from_file(Path(file) if file else DEFAULT_FILE, wanted=bool(file))
    merged |= _from_environment(environment) | flags
    hints = get_type_hints(Settings)
    settings = Settings(**{name: _convert(name, value, hints[name]) for name, value in merged.items()})
    if settings.unbound_timeout_seconds <= 0:
        raise SettingsError(f"unboundTimeoutSeconds is {settings.unbound_timeout_seconds}, wanted a positive number")
    if settings.keep_place_after_seconds < 0:
        raise SettingsError(f"keepPlaceAfterSeconds is {settings.keep_place_after_seconds}, wanted 0 or more")
    if not 1 <= settings.concurrent_writes <= MOST_WRITES:
        raise SettingsError(f"concurrentWrites is {settings.concurrent_writes}, wanted 1 to {MOST_WRITES}")
    if settings.gate_and_pin and settings.allocator is Allocator.SCHEDULER:
        raise SettingsError(
            "gateAndPin is true and allocator is scheduler: only our controller can choose the node of a pod before "
            "kube-scheduler does; wanted allocator controller, or gateAndPin false"
        )
    return settings


def identity(settings: Settings) -> str:
    """A name for this process in the Lease, another one at every call."""
    # Two processes of one name would both lead, and give the same room away twice. Neither settings nor a pod's UID
    # rule that out: whoever starts a second process by mistake, in the pod or out of it, gives it the same ones.
    replica = f"{settings.pod_name}_{settings.pod_uid}" if settings.pod_uid else settings.identity
    return f"{replica or socket.gethostname()}_{uuid4()}"


def _names() -> list[str]:
    return [field.name for field in fields(Settings)]


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hami-dra-controller", description=__doc__)
    parser.add_argument("--config", metavar="FILE", help=f"YAML file of settings (default {DEFAULT_FILE})")
    for name in _names():
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="VALUE")
    return parser


def _from_file(path: Path, *, wanted: bool) -> dict[str, Any]:
    if not wanted and not path.exists():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"settings file {path}: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"settings file {path}: found {type(content).__name__}, wanted a mapping")
    known = {_camel(name): name for name in _names()}
    unknown = sorted(set(content) - set(known))
    if unknown:
        raise SettingsError(f"settings file {path}: unknown setting {unknown[0]!r}, wanted one of {sorted(known)}")
    return {known[key]: value for key, value in content.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    variables = {f"{_PREFIX}{name.upper()}": name for name in _names()}
    return {name: environment[variable] for variable, name in variables.items() if variable in environment}


def _convert(name: str, value: Any, wanted: Any) -> Any:
    text = str(value)
    try:
        if wanted is bool:
            return _boolean(text)
        return wanted(text)
    except ValueError:
        choices = f"one of {[str(choice) for choice in wanted]}" if issubclass(wanted, StrEnum) else wanted.__name__
        raise SettingsError(f"setting {_camel(name)} is {text!r}, wanted {choices}") from None


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)
