"""ShareConfig v1alpha1: what a claim or class says about a share that Kubernetes itself cannot say.

It travels as opaque parameters, which the API server does not look into, so a
typing error must be caught here: every unknown field is refused.
"""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class CoreLimit(enum.StrEnum):
    """How the core limit is held. Unset means hard where cores are asked for."""

    HARD = "hard"
    SOFT = "soft"
    NONE = "none"


class NodePlacement(enum.StrEnum):
    """Which node comes first: the fullest or the emptiest that fits."""

    BINPACK = "binpack"
    SPREAD = "spread"


class DevicePlacement(enum.StrEnum):
    """Which GPU of a node comes first; topology: the set that is best connected."""

    BINPACK = "binpack"
    SPREAD = "spread"
    TOPOLOGY = "topology"


class _Section(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True
    )


_Term = Annotated[str, Field(min_length=1)]


class Placement(_Section):
    """The order in which nodes and GPUs are tried; None: as the settings say."""

    node: NodePlacement | None = None
    device: DevicePlacement | None = None


class Choice(_Section):
    """What is wanted and what is not; an empty list says nothing. Both are case-insensitive."""

    include: tuple[_Term, ...] = ()
    exclude: tuple[_Term, ...] = ()


class ShareConfig(_Section):
    """Validated parameters. None, or an empty Choice, where nothing was said.

    `memory_percent` is of the chosen GPU's memory; `models` are substrings of the model's name, `uuids` whole ones.
    """

    memory_percent: Annotated[int, Field(strict=True, ge=1, le=100)] | None = None
    core_limit: CoreLimit | None = None
    priority: Annotated[int, Field(strict=True, ge=-(1 << 31), lt=1 << 31)] | None = None
    placement: Placement = Placement()
    models: Choice = Choice()
    uuids: Choice = Choice()
    numa: Literal["single"] | None = None


class _Document(ShareConfig):
    api_version: Literal["gpu.hami.io/v1alpha1"]
    kind: Literal["ShareConfig"]


def parse_share_config(parameters: object) -> ShareConfig:
    """The ShareConfig in decoded opaque `parameters`.

    Raises ShareConfigError, whose message names every wrong field, what was found and what was wanted.
    """
    raise NotImplementedError


def merge_share_configs(*configs: ShareConfig) -> ShareConfig:
    """One configuration of several, field by field: what a later one says beats an earlier one (class, then claim)."""
    raise NotImplementedError
