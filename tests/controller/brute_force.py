"""A second allocator that tries everything: from the objects as the API server has them, without the first one's code.

It writes down every way to serve a pod on a node, in the order in which the policies prefer them, and takes the first
that breaks no rule. Rules are checked on whole ways only, so that nothing depends on how a search goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations
from typing import Any

from hami_dra.api.quantity import parse_quantity

Json = dict[str, Any]
Amounts = dict[str, int]
MIB = 1 << 20
NUMA = "resource.kubernetes.io/numaNode"
LOCK = "gpu.hami.io/allocator"


@dataclass
class Problem:
    """A cluster and a pod. ``used``: what is taken of each device; ``blocked``: devices allocated as a whole."""

    devices: dict[str, list[Json]]
    claims: list[Json]
    classes: dict[str, Json]
    selectors: Mapping[str, Callable[[Json], bool]]
    used: dict[str, Amounts] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    rules: list[Json] = field(default_factory=list)
    partial: set[str] = field(default_factory=set)
    node_policy: str = "binpack"
    device_policy: str = "binpack"


@dataclass(frozen=True)
class Want:
    """One alternative of one request. ``number``: its place in the list of alternatives."""

    claim: int
    name: str
    number: int
    spec: Json = field(hash=False)
    share: Json = field(hash=False)


@dataclass(frozen=True)
class Share:
    """A device given to a request."""

    want: Want
    device: str
    consumed: tuple[tuple[str, int], ...]


class BruteForce:
    """All ways for one problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.requests = [
            self._wants(number, claim, request)
            for number, claim in enumerate(problem.claims)
            for request in claim["spec"]["devices"]["requests"]
        ]

    def is_bad(self) -> bool:
        """Whether an amount and a percentage of memory are asked for at once."""
        return any(
            "memoryPercent"
            in self._said(self.problem.claims[want.claim]["spec"]["devices"].get("config", ()), want.name)
            and "memory" in _asked(want.spec)
            for request in self.requests
            for want in request
        )

    def best(self) -> tuple[str, list[Share]] | None:
        """Node and shares of the way that is preferred to all others; None where there is none."""
        found = []
        for place, node in enumerate(self.node_order()):
            way = next(self.ways(node), None)
            if way is not None:
                rank = sum({share.want: share.want.number for share in way}.values())
                found.append((rank, place, node, way))
        return min(found, key=lambda one: one[:2])[2:] if found else None

    def ways(self, node: str) -> Iterator[list[Share]]:
        """Every way on a node that breaks no rule, the preferred ones first."""
        return (way for way in self._all_ways(node, self.requests, []) if self.is_allowed(way))

    def node_order(self) -> list[str]:
        """The nodes as the policy prefers them."""
        wants = [want for request in self.requests for want in request]
        said = [want.share["placement"]["node"] for want in wants if want.share.get("placement", {}).get("node")]
        sign = 1 if (said or [self.problem.node_policy])[0] == "spread" else -1
        nodes = self.problem.devices
        return sorted(nodes, key=lambda node: (sign * self._fullness(nodes[node], []), node))

    def is_allowed(self, way: Sequence[Share]) -> bool:
        """Whether capacities, admin access and constraints are kept."""
        return self._within_capacity(way) and all(self._claim_allows(n, way) for n in range(len(self.problem.claims)))

    # What is asked for.

    def _wants(self, number: int, claim: Json, request: Json) -> list[Want]:
        devices = claim["spec"]["devices"]
        wants = []
        for position, spec in enumerate([request["exactly"]] if "exactly" in request else request["firstAvailable"]):
            name = request["name"] if "exactly" in request else f"{request['name']}/{spec['name']}"
            inherited = self._said(self.problem.classes[spec["deviceClassName"]]["spec"].get("config", ()), None)
            share = {**inherited, **self._said(devices.get("config", ()), name)}
            for part in ("placement", "models", "uuids"):
                share[part] = {**inherited.get(part, {}), **self._said(devices.get("config", ()), name).get(part, {})}
            wants.append(Want(number, name, position, spec, share))
        return wants

    def _said(self, configs: Sequence[Json], name: str | None) -> Json:
        said: Json = {}
        for entry in configs:
            for_ = entry.get("requests") or []
            if name is None or not for_ or name in for_ or name.split("/")[0] in for_:
                for key, value in entry["opaque"]["parameters"].items():
                    said[key] = {**said.get(key, {}), **value} if isinstance(value, dict) else value
        return said

    # Which devices serve it.

    def _is_meant(self, want: Want, device: Json) -> bool:
        selectors = [
            *self.problem.classes[want.spec["deviceClassName"]]["spec"].get("selectors", ()),
            *want.spec.get("selectors", ()),
        ]
        if not all(self.problem.selectors[entry["cel"]["expression"]](device) for entry in selectors):
            return False
        attributes = {name: next(iter(value.values())) for name, value in device["attributes"].items()}
        models, uuids = want.share.get("models", {}), want.share.get("uuids", {})
        model, uuid = attributes["model"].lower(), attributes["uuid"].lower()
        included = [term.lower() for term in models.get("include", ())]
        if included and not any(term in model for term in included):
            return False
        if any(term.lower() in model for term in models.get("exclude", ())):
            return False
        included = [term.lower() for term in uuids.get("include", ())]
        if (included and uuid not in included) or uuid in [term.lower() for term in uuids.get("exclude", ())]:
            return False
        return bool(want.spec.get("adminAccess")) or self._consumed(want, device) is not None

    def _is_withheld(self, want: Want, node: str, device: Json) -> bool:
        taints = [taint for taint in device.get("taints", ()) if taint["key"] != LOCK]
        if len(taints) == len(device.get("taints", ())):
            return True
        for rule in self.problem.rules:
            selector = rule["spec"].get("deviceSelector")
            wanted = {"driver": "gpu.hami.io", "pool": node, "device": device["name"]}
            if selector is not None and all(wanted[key] == value for key, value in selector.items()):
                taints.append(rule["spec"]["taint"])
        tolerations = want.spec.get("tolerations", ())
        blocking = [taint for taint in taints if taint["effect"] in ("NoSchedule", "NoExecute")]
        return not all(any(_tolerates(one, taint) for one in tolerations) for taint in blocking)

    def _consumed(self, want: Want, device: Json) -> Amounts | None:
        asked = _asked(want.spec)
        capacity = device["capacity"]
        if "memoryPercent" in want.share and "memory" not in asked and "memory" in capacity:
            whole = parse_quantity(capacity["memory"]["value"]) * want.share["memoryPercent"] // 100
            asked = {**asked, "memory": max(whole // MIB * MIB, MIB)}
        if not set(asked) <= set(capacity):
            return None
        amounts = {name: _rounded(one, asked.get(name)) for name, one in capacity.items()}
        taken = {name: amount for name, amount in amounts.items() if amount is not None}
        return taken if len(taken) == len(amounts) and _within(taken, capacity) else None

    # All ways.

    def _all_ways(self, node: str, requests: Sequence[list[Want]], before: list[Share]) -> Iterator[list[Share]]:
        if not requests:
            yield before
            return
        for want in requests[0]:
            for chosen in self._choices(node, want, before):
                shares = [Share(want, device["name"], self._taken(want, device)) for device in chosen]
                yield from self._all_ways(node, requests[1:], [*before, *shares])

    def _choices(self, node: str, want: Want, before: Sequence[Share]) -> Iterator[tuple[Json, ...]]:
        meant = [device for device in self.problem.devices[node] if self._is_meant(want, device)]
        free = [device for device in meant if not self._is_withheld(want, node, device)]
        placement = want.share.get("placement", {}).get("device") or self.problem.device_policy
        sign = 1 if placement == "spread" else -1
        ordered = sorted(free, key=lambda device: (sign * self._fullness([device], before), device["name"]))
        if want.spec.get("allocationMode") == "All":
            if meant and free == meant and node not in self.problem.partial:
                yield tuple(ordered)
            return
        yield from combinations(ordered, want.spec.get("count", 1))

    def _taken(self, want: Want, device: Json) -> tuple[tuple[str, int], ...]:
        return () if want.spec.get("adminAccess") else tuple(sorted((self._consumed(want, device) or {}).items()))

    def _fullness(self, devices: Sequence[Json], shares: Sequence[Share]) -> Fraction:
        total = Fraction(0)
        for name in ("shares", "cores", "memory"):
            having = [device for device in devices if name in device["capacity"]]
            whole = sum(parse_quantity(device["capacity"][name]["value"]) for device in having)
            used = sum(self._used(device["name"], shares).get(name, 0) for device in having)
            total += Fraction(used, whole) if whole else 0
        return total

    def _used(self, device: str, shares: Sequence[Share]) -> Amounts:
        used = dict(self.problem.used.get(device, {}))
        for share in shares:
            for name, amount in share.consumed if share.device == device else ():
                used[name] = used.get(name, 0) + amount
        return used

    # What a way must keep.

    def _within_capacity(self, way: Sequence[Share]) -> bool:
        devices = {device["name"]: device for some in self.problem.devices.values() for device in some}
        taking = {share.device for share in way if not share.want.spec.get("adminAccess")}
        return not taking & self.problem.blocked and all(
            _within(self._used(name, way), devices[name]["capacity"]) for name in taking
        )

    def _claim_allows(self, number: int, way: Sequence[Share]) -> bool:
        shares = [share for share in way if share.want.claim == number]
        for position, share in enumerate(shares):
            looking = [one.device for one in shares[:position] if one.want.spec.get("adminAccess")]
            if share.want.spec.get("adminAccess") and share.device in looking:
                return False
        single = [share for share in shares if share.want.share.get("numa") == "single"]
        constraints = self.problem.claims[number]["spec"]["devices"].get("constraints", ())
        return self._agree({"matchAttribute": NUMA}, single) and all(
            self._agree(one, [share for share in shares if _is_for(one, share.want)]) for one in constraints
        )

    def _agree(self, constraint: Json, shares: Sequence[Share]) -> bool:
        devices = {device["name"]: device for some in self.problem.devices.values() for device in some}
        name = constraint.get("matchAttribute") or constraint["distinctAttribute"]
        domain, _, short = name.partition("/")
        found = []
        for share in shares:
            attributes = devices[share.device]["attributes"]
            value = attributes.get(name) or (attributes.get(short) if domain == "gpu.hami.io" else None)
            found.append(None if value is None else tuple(value.items()))
        if None in found:
            return False
        return len(set(found)) <= 1 if "matchAttribute" in constraint else len(set(found)) == len(found)


def _asked(spec: Json) -> Amounts:
    return {name: parse_quantity(text) for name, text in spec.get("capacity", {}).get("requests", {}).items()}


def _rounded(capacity: Json, asked: int | None) -> int | None:
    policy = {name: value for name, value in capacity.get("requestPolicy", {}).items() if value}
    if asked is None:
        return parse_quantity(policy.get("default", capacity["value"]))
    if "validRange" in policy:
        valid = {name: parse_quantity(text) for name, text in policy["validRange"].items()}
        amount = valid.get("min", 0)
        while amount < asked:
            amount = amount + valid["step"] if "step" in valid else asked
        return amount if amount <= valid.get("max", amount) else None
    if "validValues" in policy:
        larger = [parse_quantity(text) for text in policy["validValues"] if parse_quantity(text) >= asked]
        return min(larger) if larger else None
    return asked


def _within(amounts: Amounts, capacity: Json) -> bool:
    return all(
        amount <= parse_quantity(capacity[name]["value"]) for name, amount in amounts.items() if name in capacity
    )


def _tolerates(toleration: Json, taint: Json) -> bool:
    if toleration.get("effect") not in (None, taint["effect"]) or toleration.get("key") not in (None, taint["key"]):
        return False
    operator = toleration.get("operator") or "Equal"
    return operator == "Exists" or (operator == "Equal" and toleration.get("value", "") == taint.get("value", ""))


def _is_for(constraint: Json, want: Want) -> bool:
    names = constraint.get("requests") or [want.name]
    return want.name in names or want.name.split("/")[0] in names
