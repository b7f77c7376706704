"""Reads a claim of ours into asks: one per request, or per alternative of a request, with class and configs applied."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hami_dra.api import names
from hami_dra.api.resources import Claim, Device, DeviceClass, RequestSpec
from hami_dra.api.share_config import CoreLimit, ShareConfig, merge_share_configs
from hami_dra.controller.configs import NOTHING_SAID, Configs
from hami_dra.controller.errors import BadClaim, SelectorError
from hami_dra.controller.inventory import Gpu
from hami_dra.controller.usage import DeviceKey

Matcher = Callable[[str, Gpu], bool]
"""Evaluates a CEL expression on a GPU; SelectorError when it does not compile or fails."""

AskId = tuple[str, str]
"""The claim's UID and the request."""

MAX_RESULTS = 32
_MODES = frozenset({"ExactCount", "All"})
_NAMES_DRIVER = re.compile(rf"""device\.driver\s*==\s*["']{re.escape(names.DRIVER)}["']""")
_PROBE = Gpu("", DeviceKey("", ""), Device(name="probe", allow_multiple_allocations=True))
_PUBLISHED = re.compile(r"\bdevice\.(?:attributes|capacity)\b")
_NOWHERE = r'\g<0>["?"]["?"]'
"""No device publishes anything there, so that reading it fails."""


@dataclass(frozen=True)
class Ask:
    """One kind of share that is wanted ``spec.count`` times; ``request`` is its name in results."""

    claim: Claim
    request: str
    spec: RequestSpec
    expressions: tuple[str, ...]
    config: ShareConfig

    @property
    def id(self) -> AskId:
        """Tells it from the pod's other asks."""
        return self.claim.uid, self.request

    @property
    def takes_all(self) -> bool:
        """Whether every matching device of the node is wanted."""
        return self.spec.allocation_mode == "All"

    @property
    def memory_percent(self) -> int | None:
        """The part of the GPU's memory to take; an amount in the request beats a class's percentage."""
        return None if names.CAPACITY_MEMORY in self.spec.capacity.requests else self.config.memory_percent


Request = tuple[Ask, ...]
"""The alternatives of one request, best first."""


def is_ours(claim: Claim, classes: Mapping[str, DeviceClass], matches: Matcher) -> bool:
    """Whether a request of the claim asks for devices of our driver."""
    return any(_spec_is_ours(spec, classes, matches) for request in claim.requests for spec in request.alternatives)


def foreign_classes(claim: Claim, classes: Mapping[str, DeviceClass], matches: Matcher) -> list[str]:
    """The classes of other drivers' devices that the claim asks for beside ours."""
    specs = [spec for request in claim.requests for spec in request.alternatives if spec.device_class_name in classes]
    return sorted({spec.device_class_name for spec in specs if not _spec_is_ours(spec, classes, matches)})


def class_is_ours(device_class: DeviceClass, matches: Matcher) -> bool:
    """Whether the class is for our driver: by its name, or because its selectors name our driver and can be true."""
    return device_class.name == names.DEVICE_CLASS or _selects_us(
        [selector.expression for selector in device_class.selectors], matches
    )


def _spec_is_ours(spec: RequestSpec, classes: Mapping[str, DeviceClass], matches: Matcher) -> bool:
    if spec.device_class_name == names.DEVICE_CLASS:
        return True
    device_class = classes.get(spec.device_class_name)
    if device_class is None:
        return False
    selectors = (*device_class.selectors, *spec.selectors)
    return _selects_us([selector.expression for selector in selectors], matches)


def _selects_us(expressions: list[str], matches: Matcher) -> bool:
    mentions = [expression for expression in expressions if names.DRIVER in expression]
    if any(_NAMES_DRIVER.search(expression) for expression in mentions):
        return True
    return bool(mentions) and all(_could_match(expression, matches) for expression in mentions)


def _could_match(expression: str, matches: Matcher) -> bool:
    try:
        # The probe publishes nothing. A guard that finds this out must not exclude our driver: so where the answer is
        # no, it is asked again in words by which it fails as soon as it depends on what a device publishes.
        return matches(expression, _PROBE) or matches(_PUBLISHED.sub(_NOWHERE, expression), _PROBE)
    except SelectorError:
        return True


def read_requests(claim: Claim, classes: Mapping[str, DeviceClass], *, require_cores: bool) -> tuple[Request, ...]:
    """The claim's requests in order. BadClaim says what can never be served."""
    _check_form(claim)
    said = _Said(Configs(_title(claim), claim.config), {})
    requests = tuple(
        tuple(_ask(claim, request.result_name(spec), spec, classes, said) for spec in request.alternatives)
        for request in claim.requests
    )
    for ask in (ask for request in requests for ask in request):
        _check(ask, require_cores=require_cores)
    least = sum(min(ask.spec.count for ask in request) for request in requests if request)
    if least > MAX_RESULTS:
        raise BadClaim(f"{_title(claim)} asks for {least} devices, at most {MAX_RESULTS} can be in one claim")
    return requests


class _Said(NamedTuple):
    """What the claim says to its requests, and what each class does."""

    own: Configs
    inherited: dict[str, ShareConfig]

    def by_class(self, device_class: DeviceClass) -> ShareConfig:
        name = device_class.name
        if name not in self.inherited:
            self.inherited[name] = Configs(f"DeviceClass {name}", device_class.config).whole()
        return self.inherited[name]


def _ask(claim: Claim, request: str, spec: RequestSpec, classes: Mapping[str, DeviceClass], said: _Said) -> Ask:
    device_class = classes.get(spec.device_class_name)
    if device_class is None:
        raise BadClaim(f"{_title(claim)}, request {request}: DeviceClass {spec.device_class_name} does not exist")
    own = said.own.of_request(request)
    if own.memory_percent is not None and names.CAPACITY_MEMORY in spec.capacity.requests:
        raise BadClaim(
            f"{_title(claim)}, request {request}: found both capacity memory and ShareConfig memoryPercent, "
            "wanted one of them"
        )
    inherited = said.by_class(device_class)
    selectors = (*device_class.selectors, *spec.selectors)
    return Ask(
        claim=claim,
        request=request,
        spec=spec,
        expressions=tuple(selector.expression for selector in selectors),
        config=own if inherited is NOTHING_SAID else merge_share_configs(inherited, own),
    )


def _check_form(claim: Claim) -> None:
    # What we do not read may narrow what is wanted: to leave it out would give something else.
    for request in claim.requests:
        if request.unknown:
            raise BadClaim(f"{_title(claim)}, request {request.name}: {', '.join(request.unknown)} is not supported")
        if not request.alternatives:
            raise BadClaim(f"{_title(claim)}, request {request.name}: found neither exactly nor firstAvailable")
    for constraint in claim.constraints:
        if not constraint.match_attribute and not constraint.distinct_attribute:
            raise BadClaim(
                f"{_title(claim)}: found a constraint of an unknown kind, wanted matchAttribute or distinctAttribute"
            )
        if constraint.unknown:
            raise BadClaim(f"{_title(claim)}: {', '.join(constraint.unknown)} of a constraint is not supported")


def _check(ask: Ask, *, require_cores: bool) -> None:
    title = f"{_title(ask.claim)}, request {ask.request}"
    wanted = ask.spec.capacity.requests
    unknown = sorted(set(wanted) - {names.CAPACITY_MEMORY, names.CAPACITY_CORES, names.CAPACITY_SHARES})
    memory, cores = wanted.get(names.CAPACITY_MEMORY), wanted.get(names.CAPACITY_CORES, 0)
    if ask.spec.allocation_mode not in _MODES:
        raise BadClaim(f"{title}: found allocationMode {ask.spec.allocation_mode}, wanted ExactCount or All")
    if unknown:
        raise BadClaim(f"{title}: found capacity {unknown[0]}, wanted memory, cores or shares")
    if memory is not None and memory <= 0:
        raise BadClaim(f"{title}: capacity memory is {memory}, wanted at least 1Mi")
    if not 0 <= cores <= names.CORES_PER_DEVICE:
        raise BadClaim(f"{title}: capacity cores is {cores}, wanted 0 to {names.CORES_PER_DEVICE} (percent of one GPU)")
    if require_cores and not ask.spec.admin_access:
        _check_core_limit(title, ask.config, cores)


def _check_core_limit(title: str, config: ShareConfig, cores: int) -> None:
    wanted = "this cluster wants every share to have a core limit"
    if cores == 0:
        raise BadClaim(f"{title}: no cores are asked for, but {wanted}")
    if config.core_limit is CoreLimit.NONE:
        raise BadClaim(f"{title}: coreLimit of its ShareConfig is none, but {wanted}")


def _title(claim: Claim) -> str:
    return f"ResourceClaim {claim.namespace}/{claim.name}"
