"""Random clusters and claims that say all that both allocators understand; the same number gives the same problem."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, TypeVar

from controller_objects import LOCK, Json, claim_json, class_json, config, gpu, request, slice_json

NODES = ("node-a", "node-b")
OURS = 'device.driver == "gpu.hami.io"'
BIG = 'device.attributes["gpu.hami.io"].model == "Big"'
LARGE = 'device.capacity["gpu.hami.io"].?memory.orValue(quantity("0")).isGreaterThan(quantity("9Mi"))'
NUMA, RACK = "resource.kubernetes.io/numaNode", "example.com/rack"
NOBODY = "other.example"
WHEN = LOCK["timeAdded"]

_T = TypeVar("_T")


class Dice:
    """Choices that depend on the seed alone: Python keeps `random()` as it is, the rest of the module may change."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pick(self, choices: Sequence[_T]) -> _T:
        """One of them."""
        return choices[int(self._random.random() * len(choices))]

    def some(self, choices: Sequence[_T], most: int) -> list[_T]:
        """One to ``most`` different ones."""
        left = list(choices)
        count = min(1 + int(self._random.random() * most), len(left))
        return [left.pop(int(self._random.random() * len(left))) for _ in range(count)]

    def chance(self, of: float) -> bool:
        """Whether something happens that does so seldom."""
        return self._random.random() < of


def problem(seed: int) -> Json:
    """Nodes, slices, classes, rules, what is allocated, and the unallocated claims of a pod; as the API has them."""
    dice = Dice(seed)
    slices = [one for node in NODES for one in _slices(dice, node)]
    devices = [(one["spec"]["pool"]["name"], device["name"]) for one in slices for device in one["spec"]["devices"]]
    special = class_json("special", dice.pick([OURS, f"{OURS} && {BIG}"]))
    special["spec"]["config"] = [config(priority=7), _foreign(1)][: dice.pick([0, 1, 2])]
    own = class_json()
    own["spec"]["config"] = [config(coreLimit="hard")][: dice.pick([0, 1])]
    return {
        "nodes": list(NODES),
        "slices": slices,
        "classes": [own, special, class_json("plain", None)],
        "rules": [_rule(dice, number, devices) for number in range(dice.pick([0, 0, 0, 0, 1, 2]))],
        "allocated": [_allocated(dice, number, devices) for number in range(dice.pick([0, 0, 2, 4]))],
        "claims": [_claim(dice, f"c{number}") for number in range(dice.pick([1, 1, 1, 2]))],
    }


def pinned(problem: Json, results: Sequence[Sequence[Json]]) -> Json:
    """The same problem, but every request may only have the devices that some allocation gave it."""
    narrowed = deepcopy(problem)
    for claim, given in zip(narrowed["claims"], results, strict=True):
        for wanted in claim["spec"]["devices"]["requests"]:
            for name, spec in _alternatives(wanted):
                devices = [one["device"] for one in given if one["request"] == name]
                expression = f'device.attributes["gpu.hami.io"].uuid.lowerAscii() in {devices}'
                spec.setdefault("selectors", []).append({"cel": {"expression": expression}})
    return narrowed


def _alternatives(wanted: Json) -> list[tuple[str, Json]]:
    if "exactly" in wanted:
        return [(wanted["name"], wanted["exactly"])]
    return [(f"{wanted['name']}/{one['name']}", one) for one in wanted["firstAvailable"]]


def _foreign(number: int) -> Json:
    return {"opaque": {"driver": NOBODY, "parameters": {"number": number}}}


# What nodes publish.


def _slices(dice: Dice, node: str) -> list[Json]:
    found = []
    for number in range(dice.pick([1, 1, 1, 2])):
        pool, generation = (f"{node}-{number}" if number else node), dice.pick([1, 2])
        devices = [_device(dice, number * 10 + n, node) for n in range(dice.pick([1, 2] if number else [1, 2, 3, 4]))]
        parts = dice.pick([1, 1, 2])
        count = max(parts + (dice.pick([-1, 1]) if dice.chance(0.03) else 0), 1)
        for part in range(parts):
            listed = devices[part::parts]
            found.append(slice_json(node, listed, pool=pool, generation=generation, count=count, part=part))
        if parts == 2 and dice.chance(0.05):
            found[-1]["spec"]["devices"].append(deepcopy(devices[0]))
        if generation == 2 and dice.chance(0.4):
            found.append(slice_json(node, [_device(dice, 7, node)], pool=pool))
    return found


def _device(dice: Dice, number: int, node: str) -> Json:
    device = gpu(number, node=node, memory_mib=dice.pick([8, 10, 16]), shares=dice.pick([1, 2, 3]))
    said: dict[str, Sequence[Json | None]] = {
        "model": [{"string": "Big"}, {"string": "small"}],
        NUMA: [{"int": 0}, {"int": 1}, {"string": "0"}, None],
        RACK: [{"string": "x"}, {"string": "y"}, None],
        "flag": [{"bool": True}, {"bool": False}, None],
        "gpu.hami.io/flag": [{"bool": True}, {"int": 1}, None, None],
        "ver": [{"version": "1.0.0"}, {"string": "1.0.0"}, {"version": "1.0.0-rc"}],
    }
    chosen = {name: dice.pick(values) for name, values in said.items()}
    device["attributes"] = {n: one for n, one in (device["attributes"] | chosen).items() if one is not None}
    capacity = {
        "memory": dice.pick([device["capacity"]["memory"]] * 3 + MEMORIES),
        "cores": dice.pick([device["capacity"]["cores"]] * 3 + CORES),
        "shares": None if dice.chance(0.1) else device["capacity"]["shares"],
    }
    device["capacity"] = {} if dice.chance(0.05) else {name: one for name, one in capacity.items() if one is not None}
    device["taints"] = [LOCK, *(_taint(dice) for _ in range(dice.pick([0] * 9 + [1, 2])))]
    return device


MEMORIES: list[Json] = [
    {"value": "16Mi", "requestPolicy": {"default": "2Mi", "validRange": {"min": "2Mi", "step": "3Mi", "max": "8Mi"}}},
    {"value": "16Mi", "requestPolicy": {"default": "16Mi", "validRange": {"min": "1Mi"}}},
    {"value": "12Mi", "requestPolicy": {"default": "4Mi", "validValues": ["4Mi", "9Mi"]}},
    {"value": "12Mi", "requestPolicy": {"default": "3Mi"}},
    {"value": "10Mi"},
    {"value": "10485759"},
]
CORES: list[Json | None] = [
    {"value": "100", "requestPolicy": {"default": "10", "validValues": ["10", "50"]}},
    {"value": "100", "requestPolicy": {"default": "0", "validRange": {"min": "0", "max": "60", "step": "20"}}},
    {"value": "100"},
    None,
]


def _taint(dice: Dice) -> Json:
    value = {"value": "bad"} if dice.chance(0.5) else {}
    effect = dice.pick(["NoSchedule", "NoExecute", "None"])
    return {"key": dice.pick(["health", "x.example/y"]), "effect": effect, "timeAdded": WHEN, **value}


def _rule(dice: Dice, number: int, devices: Sequence[tuple[str, str]]) -> Json:
    pool, device = dice.pick(devices)
    selectors = [None, {}, {"pool": pool}, {"device": device}, {"driver": "gpu.hami.io", "pool": pool}]
    selector = dice.pick([*selectors, {"driver": NOBODY}, {"pool": dice.pick(NODES), "device": device}])
    spec = {"taint": _taint(dice), **({} if selector is None else {"deviceSelector": selector})}
    return {"metadata": {"name": f"rule-{number}"}, "spec": spec}


# What is allocated already.


def _allocated(dice: Dice, number: int, devices: Sequence[tuple[str, str]]) -> Json:
    pool, device = dice.pick(devices)
    driver = NOBODY if dice.chance(0.1) else "gpu.hami.io"
    share: Json = {"shareID": f"00000000-0000-4000-8000-{number:012d}"}
    amounts = {"memory": dice.pick(["1Mi", "2Mi", "4Mi", "9Mi"]), "cores": dice.pick(["0", "10", "50"]), "shares": "1"}
    other = {"other": "5"} if dice.chance(0.2) else {}
    taking: Json = {**share, "consumedCapacity": {**amounts, **other}}
    kinds: list[Json] = [{}, share, {**taking, "adminAccess": True}, *[taking] * 8]
    result = {"request": "gpu", "driver": driver, "pool": pool, "device": device, **dice.pick(kinds)}
    return claim_json(f"old-{number}", status={"allocation": {"devices": {"results": [result]}}})


# What is asked for.


def _claim(dice: Dice, name: str) -> Json:
    wanted = [_request(dice, f"r{number}") for number in range(dice.pick([1, 1, 2, 2, 3]))]
    names = [one["name"] for one in wanted] + [name for one in wanted for name, _ in _alternatives(one) if "/" in name]

    def for_some(entry: Json, chance: float) -> Json:
        return {**entry, "requests": dice.some(names, 3)} if dice.chance(chance) else entry

    attributes = [NUMA, RACK, *(f"gpu.hami.io/{own}" for own in ("flag", "ver", "model", "minor")), f"{NOBODY}/flag"]
    kinds = ["matchAttribute", "distinctAttribute"]
    constraints = [for_some({dice.pick(kinds): dice.pick(attributes)}, 0.6) for _ in range(dice.pick([0, 0, 1, 1, 2]))]
    makers: list[Callable[[int], Json]] = [_foreign, lambda n: config(priority=n), lambda _: config(coreLimit="soft")]
    configs = [for_some(dice.pick(makers)(number), 0.7) for number in range(dice.pick([0, 0, 1, 2, 3]))]
    return claim_json(name, *wanted, configs=configs, constraints=constraints)


def _request(dice: Dice, name: str) -> Json:
    if not dice.chance(0.35):
        return request(name, **_spec(dice))
    subs = [request(sub, **_spec(dice)) for sub in ("one", "two", "three")[: dice.pick([1, 2, 2, 3])]]
    return {"name": name, "firstAvailable": [{"name": one["name"], **one["exactly"]} for one in subs]}


def _spec(dice: Dice) -> dict[str, Any]:
    fields: dict[str, Any] = {"device_class": dice.pick(["gpu.hami.io"] * 3 + ["special", "plain"])}
    selectors = [OURS] if fields["device_class"] == "plain" else []
    if dice.chance(0.3):
        selectors.append(dice.pick([BIG, LARGE, OURS, "device.allowMultipleAllocations"]))
    if selectors:
        fields["selectors"] = [{"cel": {"expression": one}} for one in selectors]
    fields |= dice.pick([{}, {}, {"count": 2}, {"count": 3}, {"allocationMode": "All"}])
    if dice.chance(0.75):
        fields["memory"] = dice.pick(["1", "1Mi", "2Mi", "3Mi", "5Mi", "8Mi", "9Mi", "1048577", "1500k"])
    if dice.chance(0.3):
        fields["cores"] = dice.pick(["0", "1", "30", "60", "100"])
    if dice.chance(0.1):
        fields["shares"] = dice.pick(["0", "1", "2"])
    tolerations = [_toleration(dice) for _ in range(dice.pick([0, 0, 0, 1, 1, 2]))]
    return {**fields, "tolerations": tolerations} if tolerations else fields


def _toleration(dice: Dice) -> Json:
    operator = dice.pick(["Equal", "Exists"])
    key = {"key": dice.pick(["health", "x.example/y"])} if dice.chance(0.7) else {}
    value = {"value": "bad"} if operator == "Equal" and dice.chance(0.6) else {}
    effect = {"effect": dice.pick(["NoSchedule", "NoExecute"])} if dice.chance(0.4) else {}
    seconds = {"tolerationSeconds": dice.pick([0, 30])} if dice.chance(0.2) else {}
    return {**key, "operator": operator, **value, **effect, **seconds}
