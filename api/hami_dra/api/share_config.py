"""ShareConfig v1alpha1: what a claim or class says about a share that Kubernetes itself cannot say.

It travels as opaque parameters, which the API server does not look into, so a
typing error must be caught here: every unknown field is refused.
"""

import difflib
import enum
import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from hami_dra.api.errors import ShareConfigError
from hami_dra.api.names import SHARE_CONFIG_API_VERSION, SHARE_CONFIG_KIND


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
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, str_strip_whitespace=True
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


# What an error message says is wanted, where pydantic only says which of several bounds was missed.
_PERCENT: Final = "a whole number from 1 to 100"
_INT32: Final = "a whole number of at most 32 bits"
# More are told by their number: there may be a thousand, and people correct some and try again.
_MOST_PROBLEMS: Final = 16


class ShareConfig(_Section):
    """Validated parameters. None, or an empty Choice, where nothing was said.

    `memory_percent` is of the chosen GPU's memory; `models` are substrings of the model's name, `uuids` whole ones.
    """

    memory_percent: Annotated[int | None, Field(strict=True, ge=1, le=100, description=_PERCENT)] = None
    core_limit: CoreLimit | None = None
    priority: Annotated[int | None, Field(strict=True, ge=-(1 << 31), lt=1 << 31, description=_INT32)] = None
    placement: Placement = Placement()
    models: Choice = Choice()
    uuids: Choice = Choice()
    numa: Literal["single"] | None = None


class _Document(ShareConfig):
    api_version: Literal["gpu.hami.io/v1alpha1"]
    kind: Literal["ShareConfig"]


def parse_share_config(parameters: object) -> ShareConfig:
    """The ShareConfig in decoded opaque `parameters`.

    Raises ShareConfigError, whose message names the first wrong fields, what was found and what was wanted.
    """
    if not isinstance(parameters, dict):
        raise ShareConfigError((f"found {_shown(parameters)}, wanted an object",))
    try:
        document = _Document.model_validate(parameters, by_alias=True, by_name=False)
    except ValidationError as error:
        raise ShareConfigError(tuple(_problems(error.errors(include_url=False)))) from error
    return ShareConfig(**{name: getattr(document, name) for name in ShareConfig.model_fields})


def merge_share_configs(*configs: ShareConfig) -> ShareConfig:
    """One configuration of several, field by field: what a later one says beats an earlier one (class, then claim)."""
    if len(configs) == 1:
        return configs[0]
    return _merged(ShareConfig, configs) if configs else ShareConfig()


_M = TypeVar("_M", bound=_Section)


def _merged(model: type[_M], sections: Sequence[_M]) -> _M:
    # Each field is looked at by itself: to copy the whole for every one that is added takes thirty times as long.
    said: dict[str, Any] = {}
    for name in model.model_fields:
        values = [getattr(section, name) for section in sections]
        if isinstance(values[0], _Section):
            said[name] = _merged(type(values[0]), values)
        else:
            said[name] = next((value for value in reversed(values) if value not in (None, ())), values[0])
    return sections[0].model_copy(update=said)


# Pydantic's own texts speak of Python types; users write YAML.
_WANTED: Final = {
    "string_type": "a text",
    "tuple_type": "a list",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "enum": "one of {expected}",
    "literal_error": "{expected}",
    "string_too_short": "a text that is not empty",
}


def _problems(details: Sequence[Any]) -> Iterator[str]:
    yield from map(_problem, details[:_MOST_PROBLEMS])
    if len(details) > _MOST_PROBLEMS:
        yield f"and {len(details) - _MOST_PROBLEMS} more"


def _problem(detail: Any) -> str:
    path = _path(detail["loc"])
    if detail["type"] == "extra_forbidden":
        return _unknown_field(detail["loc"], path)
    if detail["type"] == "missing":
        wanted = {"apiVersion": SHARE_CONFIG_API_VERSION, "kind": SHARE_CONFIG_KIND}
        return f"{path}: missing, wanted {wanted[path]}"
    return f"{path}: found {_shown(detail['input'])}, wanted {_wanted(detail)}"


def _wanted(detail: Any) -> str:
    field = next((field for field in ShareConfig.model_fields.values() if field.alias == detail["loc"][0]), None)
    if field is not None and field.description:
        return field.description
    template = _WANTED.get(detail["type"])
    return template.format(**detail.get("ctx", {})) if template else str(detail["msg"])


def _unknown_field(location: tuple[int | str, ...], path: str) -> str:
    model: type[BaseModel] = _Document
    for step in location[:-1]:
        annotation = model.model_fields[str(_field_of(model, str(step)))].annotation
        assert isinstance(annotation, type)
        model = annotation
    known = sorted(str(field.alias) for field in model.model_fields.values())
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    hint = f', did you mean "{close[0]}"?' if close else f", wanted one of {', '.join(known)}"
    return f"{path}: unknown field{hint}"


def _field_of(model: type[BaseModel], alias: str) -> str:
    return next(name for name, field in model.model_fields.items() if alias in (name, field.alias))


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path.removeprefix(".")


def _shown(value: object) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 80 else f"{text[:77]}..."
