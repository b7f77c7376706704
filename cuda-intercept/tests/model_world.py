"""A share, the processes in it, and what the model knows of them: one call after the other."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import unittest
from pathlib import Path

import container
import model
from container import BUILD, TEST_LIBRARY, Share
from model import CHUNK, CONTEXT, FUNCTION, GREEN, MIB, MODULE, Physical, Pool, Process

WORKER = BUILD / "tests" / "model_worker"
LIMIT = 1024 * MIB
OUT_OF_MEMORY = 2
KINDS = range(1, 9)


class Driver:
    """A driver root, with one GPU if nothing else is said, and NVML's figures for it."""

    def __init__(self, profile_text: str = model.PROFILE) -> None:
        with tempfile.TemporaryDirectory(prefix="hami-model-") as folder:
            profile = Path(folder) / "model"
            profile.write_text(profile_text)
            self.root = container.install_driver(str(profile))
        self.libraries = container.libraries_of(self.root.name)
        self.nvml = ctypes.CDLL(f"{self.libraries}/libnvidia-ml.so.1")
        assert self.nvml.nvmlInit_v2() == 0

    def used(self, number: int = 0) -> int:
        device, memory = ctypes.c_void_p(), (ctypes.c_ulonglong * 3)()
        assert self.nvml.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(device)) == 0
        assert self.nvml.nvmlDeviceGetMemoryInfo(device, memory) == 0
        return memory[2]


class Worker:
    """One process of the share and what the model knows of it."""

    def __init__(self, driver: Driver, **extra: str) -> None:
        environment = container.environment(driver.libraries, TEST_LIBRARY, **extra)
        self.process = subprocess.Popen(
            [str(WORKER)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.state = Process()
        self.objects: dict[str, dict[int, object]] = {}
        self.next = 0
        self.alive = self.answer() == 0
        if not self.alive:
            self.state = Process(plain=0)

    def answer(self) -> int:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return int(line) if line else -1

    def call(self, what: str, *arguments: int) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join([what, *map(str, arguments)]) + "\n")
        return self.answer()

    def free_slot(self) -> int:
        self.next += 1
        return self.next % 64

    def of(self, kind: str) -> dict[int, object]:
        return self.objects.setdefault(kind, {})

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


class World:
    """The share, its processes, and one call after the other."""

    def __init__(self, driver: Driver, case: unittest.TestCase, workers: int) -> None:
        self.driver, self.case = driver, case
        self.share = Share(memory_mib=LIMIT // MIB)
        container.lay_out(self.share)
        self.workers = [Worker(driver) for _ in range(workers)]

    def close(self) -> None:
        for worker in self.workers:
            worker.end()

    def charged(self) -> int:
        return sum(worker.state.charged for worker in self.workers)

    def check(self, after: object) -> None:
        """Ledger, model and driver say the same, and it is within the limit."""
        ledger, kinds = self.share.total(0), sum(self.share.total(kind) for kind in KINDS)
        self.case.assertEqual((ledger, kinds), (self.charged(), self.charged()), after)
        self.case.assertEqual(self.driver.used(), ledger, after)
        self.case.assertLessEqual(ledger, LIMIT, after)

    def fits(self, worker: Worker, grows: int) -> bool:
        """Whether so many bytes more find room; a process that needs some trims its idle pools."""
        if self.charged() + grows > LIMIT:
            worker.state.trim_pools()
        return self.charged() + grows <= LIMIT

    def expect(self, worker: Worker, fits: bool, what: str, *arguments: int) -> bool:
        self.case.assertEqual(worker.call(what, *arguments), 0 if fits else OUT_OF_MEMORY, (what, arguments))
        return fits

    def plain(self, worker: Worker, kind: str, what: str, size: int, *arguments: int) -> None:
        """A call that takes `size` bytes and makes an object of that kind."""
        slot = worker.free_slot()
        if slot not in worker.of(kind) and self.expect(worker, self.fits(worker, size), what, slot, *arguments):
            worker.of(kind)[slot] = size
            worker.state.plain += size

    def unplain(self, worker: Worker, kind: str, what: str, pick: int) -> None:
        slot = choose(worker.of(kind), pick)
        if slot is not None:
            self.expect(worker, True, what, slot)
            size = worker.of(kind).pop(slot)
            assert isinstance(size, int)
            worker.state.plain -= size

    def pooled(self, worker: Worker, pool_slot: int | None, size: int) -> None:
        pools = worker.of("pool")
        pool = worker.state.pools[0] if pool_slot is None else pools[pool_slot]
        assert isinstance(pool, Pool)
        slot = worker.free_slot()
        if slot in worker.of("stream"):
            return
        wanted = max(pool.reserved, model.round_up(pool.used + size, CHUNK))
        self.fits(worker, wanted - pool.reserved)  # trims this pool too, if it comes to that
        wanted = max(pool.reserved, model.round_up(pool.used + size, CHUNK))
        fits = self.charged() + wanted - pool.reserved <= LIMIT
        call = ("d", slot, size) if pool_slot is None else ("s", slot, pool_slot, size)
        if self.expect(worker, fits, *call):
            pool.reserved, pool.used = wanted, pool.used + size
            worker.of("stream")[slot] = (pool, size)

    def unpooled(self, worker: Worker, what: str, pick: int) -> None:
        slot = choose(worker.of("stream"), pick)
        if slot is None:
            return
        self.expect(worker, True, what, slot)
        pool, size = worker.of("stream").pop(slot)  # type: ignore[misc]
        pool.used -= size
        if pool.destroyed:
            pool.trim(0)

    def synchronize(self, worker: Worker) -> None:
        self.expect(worker, True, "y")
        for pool in worker.state.pools:
            pool.trim(pool.threshold)

    def destroy_pool(self, worker: Worker, pick: int) -> None:
        slot = choose(worker.of("pool"), pick)
        if slot is None:
            return
        pool = worker.of("pool").pop(slot)
        assert isinstance(pool, Pool)
        self.expect(worker, True, "D", slot)
        pool.destroyed, pool.threshold = True, 0
        pool.trim(0)

    def retain(self, worker: Worker, pick: int) -> None:
        mapping, slot = choose(worker.of("mapping"), pick), worker.free_slot()
        if mapping is None or slot in worker.of("handle"):
            return
        self.expect(worker, True, "R", slot, mapping)
        physical = worker.of("mapping")[mapping]
        assert isinstance(physical, Physical)
        physical.handles += 1
        worker.of("handle")[slot] = physical

    def create(self, worker: Worker, size: int) -> None:
        slot = worker.free_slot()
        if slot not in worker.of("handle") and self.expect(worker, self.fits(worker, size), "c", slot, size):
            physical = Physical(size)
            worker.state.physicals.append(physical)
            worker.of("handle")[slot] = physical

    def refer(self, worker: Worker, what: str, kind: str, pick: int) -> None:
        """Release of a handle or undoing of a mapping."""
        slot = choose(worker.of(kind), pick)
        if slot is None:
            return
        self.expect(worker, True, what, slot)
        physical = worker.of(kind).pop(slot)
        assert isinstance(physical, Physical)
        physical.handles -= kind == "handle"
        physical.mappings -= kind == "mapping"

    def map(self, worker: Worker, pick: int) -> None:
        handle, slot = choose(worker.of("handle"), pick), worker.free_slot()
        if handle is None or slot in worker.of("mapping"):
            return
        physical = worker.of("handle")[handle]
        assert isinstance(physical, Physical)
        self.expect(worker, True, "M", slot, handle, physical.size)
        physical.mappings += 1
        worker.of("mapping")[slot] = physical

    def launch(self, worker: Worker, what: str, pick: int) -> None:
        slot = choose(worker.of("graph"), pick)
        if slot is None:
            return
        size, graphs, mapped = worker.of("graph")[slot], worker.state.graphs, worker.state.mapped
        assert isinstance(size, int)
        needed = 0 if slot in mapped else max(mapped.values(), default=0) + size
        if not self.fits(worker, max(needed - graphs.reserved, 0)):
            worker.state.trim_graphs()
        wanted = max(graphs.reserved, size)
        if self.expect(worker, self.fits(worker, wanted - graphs.reserved), what, slot):
            graphs.reserved = wanted
            mapped[slot] = size

    def kill(self, worker: Worker) -> None:
        """SIGKILL at whatever it does; the process that takes its place sees its memory free."""
        worker.end()
        self.workers.remove(worker)
        fits = self.charged() + CONTEXT <= LIMIT
        self.workers.append(Worker(self.driver))
        self.case.assertEqual(self.workers[-1].alive, fits)

    def do(self, number: int, what: str, size: int, pick: int) -> None:
        worker = self.workers[number % len(self.workers)]
        if what == "kill":
            self.kill(worker)
        elif worker.alive:
            ACTIONS[possible(worker, what)](self, worker, size, pick)


def choose(objects: dict[int, object], pick: int) -> int | None:
    return sorted(objects)[pick % len(objects)] if objects else None


def new_pool(world: World, worker: Worker, size: int, _pick: int) -> None:
    slot = worker.free_slot()
    if slot not in worker.of("pool"):
        world.expect(worker, True, "P", slot, size)
        pool = Pool(threshold=size)
        worker.of("pool")[slot] = pool
        worker.state.pools.append(pool)


def trim_pool(world: World, worker: Worker, size: int, pick: int) -> None:
    slot = choose(worker.of("pool"), pick)
    if slot is not None:
        world.expect(worker, True, "T", slot, size)
        pool = worker.of("pool")[slot]
        assert isinstance(pool, Pool)
        if size < pool.reserved:
            pool.trim(size)


def trim_graphs(world: World, worker: Worker, _size: int, _pick: int) -> None:
    world.expect(worker, True, "t")
    worker.state.trim_graphs()


def import_one(world: World, worker: Worker, _size: int, pick: int) -> None:
    slot = choose(worker.of("handle"), pick)
    if slot is not None:
        world.expect(worker, True, "i", slot)


def load_code(world: World, worker: Worker, kind: str, what: str, pick: int) -> None:
    """A function of a module or library that was not looked up before; beyond the limit it is charged too."""
    owner, slot = choose(worker.of(kind), pick), worker.free_slot()
    if owner is not None and slot not in worker.of("function") and world.charged() + FUNCTION <= LIMIT:
        world.expect(worker, True, what, slot, owner, 0)
        size = worker.of(kind)[owner]
        assert isinstance(size, int)
        worker.of(kind)[owner] = size + FUNCTION
        worker.of("function")[slot] = owner
        worker.state.plain += FUNCTION


def raise_stack(world: World, worker: Worker, _size: int, pick: int) -> None:
    stack = max(worker.state.stack, model.FIRST_STACK + 512 * (pick + 1))
    grows = (stack - worker.state.stack) * model.THREADS
    if world.expect(worker, world.fits(worker, grows), "S", 0, 0, stack):
        worker.state.stack = stack
        worker.state.plain += grows


def new_graph(world: World, worker: Worker, size: int, _pick: int) -> None:
    slot = worker.free_slot()
    if slot not in worker.of("graph"):
        size = model.round_up(size, CHUNK)
        world.expect(worker, True, "g", slot, size)
        worker.of("graph")[slot] = size


def end_graph(world: World, worker: Worker, _size: int, pick: int) -> None:
    slot = choose(worker.of("graph"), pick)
    if slot is not None:
        world.expect(worker, True, "h", slot)
        del worker.of("graph")[slot]
        worker.state.mapped.pop(slot, None)


def context_memory(world: World, worker: Worker, size: int, pick: int) -> None:
    """Memory that dies with its context."""
    context, slot = choose(worker.of("context"), pick), worker.free_slot()
    if context is None:
        return
    if world.expect(worker, world.fits(worker, size), "k", slot, context, size):
        worker.of("context")[context] += size  # type: ignore[operator]
        worker.state.plain += size


def from_pool(world: World, worker: Worker, size: int, pick: int) -> None:
    slot = choose(worker.of("pool"), pick)
    if slot is not None:
        world.pooled(worker, slot, size)


ACTIONS = {
    "alloc": lambda w, k, s, _p: w.plain(k, "memory", "a", s, s),
    "managed": lambda w, k, s, _p: w.plain(k, "memory", "m", s, s),
    "pitch": lambda w, k, s, _p: w.plain(k, "memory", "p", s, MIB - 5, s // MIB),
    "free": lambda w, k, _s, p: w.unplain(k, "memory", "f", p),
    "stream": lambda w, k, s, _p: w.pooled(k, None, s),
    "pool": new_pool,
    "from pool": from_pool,
    "free async": lambda w, k, _s, p: w.unpooled(k, "F", p),
    "synchronize": lambda w, k, _s, _p: w.synchronize(k),
    "destroy pool": lambda w, k, _s, p: w.destroy_pool(k, p),
    "trim": trim_pool,
    "create": lambda w, k, s, _p: w.create(k, s),
    "map": lambda w, k, _s, p: w.map(k, p),
    "unmap": lambda w, k, _s, p: w.refer(k, "U", "mapping", p),
    "release": lambda w, k, _s, p: w.refer(k, "r", "handle", p),
    "retain": lambda w, k, _s, p: w.retain(k, p),
    "import": import_one,
    "array": lambda w, k, s, _p: w.plain(k, "array", "A", model.array_bytes(1000, s // 4096), 1000, s // 4096),
    "end array": lambda w, k, _s, p: w.unplain(k, "array", "B", p),
    "mipmap": lambda w, k, s, _p: w.plain(k, "mipmap", "Y", model.mipmap_bytes(1001, s // 4096), 1001, s // 4096),
    "end mipmap": lambda w, k, _s, p: w.unplain(k, "mipmap", "Z", p),
    "module": lambda w, k, _s, _p: w.plain(k, "module", "l", MODULE),
    "unload": lambda w, k, _s, p: w.unplain(k, "module", "u", p),
    "library": lambda w, k, _s, _p: w.plain(k, "library", "L", MODULE),
    "end library": lambda w, k, _s, p: w.unplain(k, "library", "V", p),
    "function": lambda w, k, _s, p: load_code(w, k, "module", "q", p),
    "kernel": lambda w, k, _s, p: load_code(w, k, "library", "Q", p),
    "stack": raise_stack,
    "context": lambda w, k, _s, _p: w.plain(k, "context", "C", CONTEXT),
    "context memory": context_memory,
    "end context": lambda w, k, _s, p: w.unplain(k, "context", "X", p),
    "green": lambda w, k, _s, _p: w.plain(k, "green", "n", GREEN),
    "end green": lambda w, k, _s, p: w.unplain(k, "green", "N", p),
    "graph": new_graph,
    "launch": lambda w, k, _s, p: w.launch(k, "G", p),
    "upload": lambda w, k, _s, p: w.launch(k, "W", p),
    "end graph": end_graph,
    "trim graphs": trim_graphs,
}


# What is done instead where there is nothing yet to do it with.
NEEDS = {
    "free": ("memory", "alloc"),
    "from pool": ("pool", "pool"),
    "free async": ("stream", "stream"),
    "destroy pool": ("pool", "pool"),
    "trim": ("pool", "pool"),
    "map": ("handle", "create"),
    "unmap": ("mapping", "map"),
    "release": ("handle", "create"),
    "retain": ("mapping", "map"),
    "import": ("handle", "create"),
    "end array": ("array", "array"),
    "end mipmap": ("mipmap", "mipmap"),
    "unload": ("module", "module"),
    "function": ("module", "module"),
    "kernel": ("library", "library"),
    "end library": ("library", "library"),
    "context memory": ("context", "context"),
    "end context": ("context", "context"),
    "end green": ("green", "green"),
    "launch": ("graph", "graph"),
    "upload": ("graph", "graph"),
    "end graph": ("graph", "graph"),
}


def possible(worker: Worker, what: str) -> str:
    """The call itself, or the one that makes what it needs."""
    while what in NEEDS and not worker.of(NEEDS[what][0]):
        what = NEEDS[what][1]
    return what
