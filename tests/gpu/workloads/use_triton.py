"""Triton: a kernel compiled at run time, loaded and launched by the driver's own calls."""

import torch
import triton
import triton.language as tl
from answering import answer


@triton.jit
def add(left, right, out, count, block: tl.constexpr):
    """out = left + right."""
    offsets = tl.program_id(0) * block + tl.arange(0, block)
    mask = offsets < count
    tl.store(out + offsets, tl.load(left + offsets, mask=mask) + tl.load(right + offsets, mask=mask), mask=mask)


def work() -> float:
    """Some launches."""
    count = 1 << 20
    left = torch.ones(count, device="cuda")
    out = torch.empty_like(left)
    for _ in range(100):
        add[(triton.cdiv(count, 1024),)](left, left, out, count, block=1024)
    return float(out.mean())


total = torch.cuda.mem_get_info()[1]
answer(f"triton {triton.__version__}", total, work, lambda size: torch.empty(size, dtype=torch.uint8, device="cuda"))
