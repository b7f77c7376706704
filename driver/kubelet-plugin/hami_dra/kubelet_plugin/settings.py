"""Settings: defaults, then the file, then its words on this node, then environment, then flags; the last one wins."""

from __future__ import annotations

import argparse
import enum
import logging
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from hami_dra.api import names
from hami_dra.kubelet_plugin.errors import SettingsError
from hami_dra.kubelet_plugin.gpu_filter import Choice, GpuFilter, parse_indices, parse_models, parse_uuids
from hami_dra.kubelet_plugin.mig_plan import MigStrategy
from hami_dra.kubelet_plugin.node_settings import settings_of
from hami_dra.kubelet_plugin.toolkit import NodeRoots

ENVIRONMENT_PREFIX = "HAMI_DRA_"
DEFAULT_FILE = Path("/etc/hami-dra/config.yaml")
_MAX_SHARES = 1000
_MAX_COUNT = 1_000_000
PER_NODE = frozenset(
    {
        "shares_per_gpu",
        "mig_strategy",
        "driver_root",
        "dev_root",
        "nvidia_ctk",
        "include_uuids",
        "exclude_uuids",
        "include_indices",
        "exclude_indices",
        "include_models",
        "exclude_models",
        "leave_owned",
        "on_bypass",
        "bypass_mib",
        "on_unhealthy",
        "application_xids",
        "xid_hold_seconds",
        "log_level",
    }
)
"""What the settings file may say of some nodes only, in its list `nodes`."""


class Allocator(enum.StrEnum):
    """Who allocates our devices on this cluster."""

    CONTROLLER = "controller"
    SCHEDULER = "scheduler"


class OnBypass(enum.StrEnum):
    """What is done, beside a metric and an Event, where a tenant uses GPU memory past the interceptor."""

    EVENT = "event"
    TAINT = "taint"
    EVICT = "evict"


class OnUnhealthy(enum.StrEnum):
    """The effect of a taint."""

    NO_SCHEDULE = "NoSchedule"
    NO_EXECUTE = "NoExecute"


@dataclass(frozen=True)
class Settings:
    """Each field is `camelCase` in the file, `HAMI_DRA_UPPER_SNAKE` in the environment, `--kebab-case` as a flag."""

    node_name: str = ""
    """The node that this plugin serves; required."""
    pod_uid: str = ""
    """The plugin's own pod. With it, two plugin pods can serve one node during an update."""
    allocator: Allocator = Allocator.CONTROLLER
    """`controller` publishes the taint that reserves our devices for our controller."""
    shares_per_gpu: int = 10
    """How many claims may share one GPU."""
    mig_strategy: MigStrategy = MigStrategy.NONE
    """`none` leaves GPUs that MIG splits out; else their instances are devices."""
    host_root: Path = Path("/")
    """Where the node's root is seen from here."""
    driver_root: Path = Path("/")
    """Where the NVIDIA driver's files are on the node."""
    dev_root: str = ""
    """The folder on the node whose `dev` has the GPUs' device nodes; empty: `driverRoot` where it has them, else /."""
    nvidia_ctk: str = "/usr/bin/nvidia-ctk,/usr/local/nvidia/toolkit/nvidia-ctk"
    """Paths on the node: the first nvidia-ctk that is there makes the base CDI spec. Empty: the operator makes it."""
    include_uuids: str = ""
    """The GPUs to publish, by UUID; empty: all. So for indices (nvidia-smi's) and models (parts of their names)."""
    exclude_uuids: str = ""
    """The GPUs to leave out, by UUID."""
    include_indices: str = ""
    exclude_indices: str = ""
    include_models: str = ""
    exclude_models: str = ""
    library: Path = Path(f"/usr/share/hami-dra/{names.LIBRARY_NAME}")
    """The interceptor in this image."""
    plugins_dir: Path = Path(names.PLUGINS_DIR)
    """kubelet's folder of plugin data; ours is the driver's name in it."""
    registry_dir: Path = Path(names.PLUGIN_REGISTRY_DIR)
    """Where kubelet looks for registration sockets."""
    cdi_dir: Path = Path(names.CDI_DIR)
    """Where the specs of claims are written."""
    static_cdi_dir: Path = Path(names.CDI_STATIC_DIR)
    """Where the specs of base devices are also looked for."""
    run_dir: Path = Path(names.RUN_DIR)
    """The tmpfs folder of the shares' files."""
    pod_resources_socket: Path = Path("/var/lib/kubelet/pod-resources/kubelet.sock")
    """Where kubelet says which containers have which devices."""
    leave_owned: bool = True
    """Leave out the GPUs that another DRA driver or a device plugin gives out."""
    on_bypass: OnBypass = OnBypass.EVENT
    """`taint` keeps further claims off the GPU, `evict` ends the pods of the share."""
    bypass_mib: int = 256
    """How much memory beyond a share's ledger counts as a bypass."""
    on_unhealthy: OnUnhealthy = OnUnhealthy.NO_SCHEDULE
    """The effect of the taint on a GPU that fails: `NoExecute` ends the pods that use it."""
    application_xids: str = "13,31,43,45,68,109"
    """XIDs that programs bring upon themselves: the GPU is none the worse."""
    xid_hold_seconds: int = 600
    """How long any other XID counts against a GPU whose driver asks for no recovery."""
    cordon_file: Path = Path("/etc/hami-dra/cordon/gpus")
    """The operator's list of GPUs that get no further claims; read again every few seconds."""
    gate_look_seconds: int = 60
    """How often at least the API server is asked whether its feature gates let it keep our devices whole."""
    hami_metrics: bool = False
    """Metrics also under HAMi's names."""
    http_address: str = ":8080"
    """Where /healthz, /readyz and /metrics are served."""
    kubeconfig: str = ""
    """Used instead of the pod's service account."""
    log_level: str = "INFO"
    """Least level that is logged."""

    @property
    def gpu_filter(self) -> GpuFilter:
        """Which GPUs are published."""
        return GpuFilter(
            uuids=Choice(
                parse_uuids("includeUuids", self.include_uuids), parse_uuids("excludeUuids", self.exclude_uuids)
            ),
            indices=Choice(
                parse_indices("includeIndices", self.include_indices),
                parse_indices("excludeIndices", self.exclude_indices),
            ),
            models=Choice(parse_models(self.include_models), parse_models(self.exclude_models)),
        )

    @property
    def roots(self) -> NodeRoots:
        """The node's folders."""
        dev = PurePosixPath(self.dev_root) if self.dev_root else None
        return NodeRoots(self.host_root, PurePosixPath(self.driver_root), dev)

    @property
    def toolkit_paths(self) -> tuple[PurePosixPath, ...]:
        """`nvidia_ctk` as paths on the node."""
        return tuple(PurePosixPath(part.strip()) for part in self.nvidia_ctk.split(",") if part.strip())

    @property
    def ignored_xids(self) -> frozenset[int]:
        """`application_xids` as numbers."""
        return frozenset(int(part) for part in self.application_xids.split(",") if part.strip())


def load_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: a value is malformed or unknown, or nodeName is missing; names source, key and value.
    """
    flags = vars(_parser().parse_args(list(arguments)))
    file = flags.pop("config") or environment.get(f"{ENVIRONMENT_PREFIX}CONFIG")
    content = _from_file(Path(file) if file else DEFAULT_FILE, required=bool(file))
    of_process = _from_environment(environment) | {
        key: (f"flag --{key.replace('_', '-')}", value) for key, value in flags.items() if value is not None
    }
    node_name = (content.settings | of_process).get("node_name", ("", ""))[1]
    layers = (content.settings, content.of_node(str(node_name)), of_process)
    values: dict[str, Any] = {key: _convert(key, *sourced) for layer in layers for key, sourced in layer.items()}
    settings = Settings(**values)
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    if not settings.node_name:
        raise SettingsError(f"no node name: set {ENVIRONMENT_PREFIX}NODE_NAME or --node-name")
    if not all(part.strip().isdecimal() for part in settings.application_xids.split(",") if part.strip()):
        raise SettingsError(f"applicationXids is {settings.application_xids!r}, wanted numbers and commas")
    if settings.log_level not in logging.getLevelNamesMapping():
        raise SettingsError(f"logLevel is {settings.log_level!r}, wanted DEBUG, INFO, WARNING or ERROR")
    roots = settings.roots
    paths = [("driverRoot", roots.driver), *(("nvidiaCtk", path) for path in settings.toolkit_paths)]
    if roots.dev is not None:
        paths.append(("devRoot", roots.dev))
    for name, path in paths:
        if not path.is_absolute():
            raise SettingsError(f"{name} has {str(path)!r}, wanted an absolute path on the node")
    _ = settings.gpu_filter


def camel_case(name: str) -> str:
    """`shares_per_gpu` as `sharesPerGpu`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


_Layer = dict[str, tuple[str, Any]]


@dataclass(frozen=True)
class _Content:
    """What a settings file says: of all nodes, and in the list `nodes` of some."""

    path: Path
    settings: _Layer = field(default_factory=dict)
    nodes: object = None

    def of_node(self, node: str) -> _Layer:
        known = {camel_case(name): name for name in PER_NODE}

        def check(where: str, said: _Layer) -> None:
            values: dict[str, Any] = {known[key]: _convert(known[key], *sourced) for key, sourced in said.items()}
            try:
                _check(Settings(node_name=where, **values))
            except SettingsError as error:
                raise SettingsError(f"{where}: {error}") from error

        found = {} if self.nodes is None else settings_of(node, self.nodes, str(self.path), known, check)
        return {known[key]: sourced for key, sourced in found.items()}


def _fields() -> dict[str, Field[Any]]:
    return {each.name: each for each in fields(Settings)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=names.KUBELET_PLUGIN_PROGRAM, allow_abbrev=False)
    parser.add_argument("--config", help=f"YAML file (default: {DEFAULT_FILE} where it exists)")
    for name, each in _fields().items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=f"default: {each.default}")
    return parser


def _from_file(path: Path, *, required: bool) -> _Content:
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        if required:
            raise SettingsError(f"settings file {path} does not exist") from error
        return _Content(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"settings file {path}: {error}") from error
    if document is None:
        return _Content(path)
    if not isinstance(document, dict):
        raise SettingsError(f"settings file {path}: found {type(document).__name__}, wanted keys and values")
    nodes = document.pop("nodes", None)
    known = {camel_case(name): name for name in _fields()}
    unknown = sorted(str(key) for key in document.keys() - known.keys())
    if unknown:
        raise SettingsError(f"settings file {path}: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    settings: _Layer = {known[key]: (f"{key} in {path}", value) for key, value in document.items()}
    return _Content(path, settings, nodes)


def _from_environment(environment: Mapping[str, str]) -> _Layer:
    variables = {name: f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in _fields()}
    return {name: (variable, environment[variable]) for name, variable in variables.items() if variable in environment}


def _convert(name: str, source: str, value: object) -> object:
    default = _fields()[name].default
    if default is MISSING:
        raise SettingsError(f"{source}: no default")
    if isinstance(default, enum.StrEnum):
        kind = type(default)
        if not isinstance(value, str) or value not in set(kind):
            raise SettingsError(f"{source}: found {value!r}, wanted one of {', '.join(kind)}")
        return kind(str(value))
    if isinstance(default, bool):
        return _convert_switch(source, value)
    if isinstance(default, int):
        return _convert_count(source, value, _MAX_SHARES if name == "shares_per_gpu" else _MAX_COUNT)
    if isinstance(default, str) and isinstance(value, list):
        # Lists are texts with commas everywhere else.
        return ",".join(map(str, value))
    if not isinstance(value, str):
        raise SettingsError(f"{source}: found {value!r}, wanted a text")
    return Path(value) if isinstance(default, Path) else value


def _convert_count(source: str, value: object, most: int) -> int:
    text = str(value)
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise SettingsError(f"{source}: found {value!r}, wanted a whole number from 1 to {most}")
    return int(text)


def _convert_switch(source: str, value: object) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise SettingsError(f"{source}: found {value!r}, wanted true or false")
    return str(value).lower() == "true"
