"""What a share is charged, as a model knows it: the rules of docs, in bytes, without any C."""

from __future__ import annotations

from dataclasses import dataclass, field

MIB = 1 << 20
GRANULE = 2 * MIB
CONTEXT, MODULE, GREEN, CHUNK, FUNCTION = 64 * MIB, 4 * MIB, 8 * MIB, 32 * MIB, 2 * MIB
FIRST_STACK, THREADS = 1024, 8 * 2048
PROFILE = f"""driver 580.95.05
nvml 13.580.95.05
cuda 13000
context_bytes {CONTEXT}
module_bytes {MODULE}
green_context_bytes {GREEN}
pool_chunk_bytes {CHUNK}
function_bytes {FUNCTION}
growth_percent 100
kernel_ns 1000
name Model
memory_bytes {80 << 30}
multiprocessors 8
gpu 0
uuid GPU-1f2e6a40-5c0d-4b7e-9a31-0d6c1b8e7f01
pci 00000000:1B:00.0
"""


def round_up(size: int, unit: int) -> int:
    return -(-size // unit) * unit


@dataclass
class Pool:
    """Stream-ordered memory: chunks that are reserved, and what is in use of them."""

    threshold: int = 0
    reserved: int = 0
    used: int = 0
    destroyed: bool = False

    def trim(self, keep: int) -> None:
        self.reserved = min(self.reserved, round_up(max(self.used, keep), CHUNK))


@dataclass
class Physical:
    """Memory behind handles and mappings."""

    size: int
    handles: int = 1
    mappings: int = 0

    @property
    def charged(self) -> int:
        return self.size if self.handles or self.mappings else 0


@dataclass
class Process:
    """Everything one process holds."""

    pools: list[Pool] = field(default_factory=lambda: [Pool()])  # the first is the default
    physicals: list[Physical] = field(default_factory=list)
    graphs: Pool = field(default_factory=Pool)
    mapped: dict[int, int] = field(default_factory=dict)  # what each graph that has run has of it: all the same
    plain: int = CONTEXT  # all that is simply there or not
    stack: int = FIRST_STACK  # of each thread

    @property
    def charged(self) -> int:
        pools = sum(pool.reserved for pool in self.pools) + self.graphs.reserved
        return pools + sum(physical.charged for physical in self.physicals) + self.plain

    def trim_pools(self) -> None:
        for pool in self.pools:
            pool.trim(0)

    def trim_graphs(self) -> None:
        self.graphs.trim(0)
        self.mapped.clear()


def level_bytes(width: int, height: int, element: int) -> int:
    return round_up(max(width, 1) * element, 64) * max(height, 1)


def array_bytes(width: int, height: int) -> int:
    return round_up(level_bytes(width, height, 4), GRANULE)


def mipmap_bytes(width: int, height: int) -> int:
    return round_up(sum(level_bytes(width >> level, height >> level, 4) for level in range(4)), GRANULE)
