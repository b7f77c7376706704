"""What others have published, to be set beside what was measured here. None of it was measured by us."""

from __future__ import annotations

PUBLISHED: tuple[tuple[str, str, str], ...] = (
    ("core limit: caps of 30 and 70 %", "got 46 and 54 %, RTX PRO 6000", "HAMi-core issue 314"),
    ("core limit: a cap of 50 % alone", "99 to 100 % for minutes", "HAMi-core issue 274"),
    (
        "core limit: mean error",
        "17.5 to 20.7 pp (delta), 2.2 to 2.8 pp (AIMD), RTX 4080",
        "vgpu-manager, docs/sm_controller_aimd*.md",
    ),
    (
        "start of a process",
        "297 ms each, one after the other; p99 = 612·N - 449 ms on 8 × A100",
        "HAMi-core issue 243, HAMi issue 2244",
    ),
    (
        "overhead on training",
        "about 23 % before pull request 166; below 1 % without core limit, by its maintainers",
        "HAMi issue 904",
    ),
    (
        "vLLM, Qwen3-8B, time to first token, p50",
        "0.0621 s native, 0.0629 s with HAMi 2.9, A100",
        "HAMi's docs/userguide/benchmark.md",
    ),
    ("overhead, average", "1.015 %", "GaiaGPU, abstract"),
)
"""What, the figure, where it is from."""
