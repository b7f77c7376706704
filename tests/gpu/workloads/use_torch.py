"""PyTorch: train, infer, replay CUDA graphs, compile."""

import torch
from answering import answer, variant
from torch import nn

WIDTH, BATCH, STEPS = 1024, 256, 30


def make_model() -> nn.Module:
    """A few layers, always the same."""
    torch.manual_seed(7)
    layers = [nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.LayerNorm(WIDTH)] * 4
    return nn.Sequential(*layers, nn.Linear(WIDTH, 1)).cuda()


def make_input() -> torch.Tensor:
    """Always the same too."""
    return torch.linspace(-1, 1, BATCH * WIDTH).reshape(BATCH, WIDTH).cuda()


def train(compiled: bool = False) -> float:
    """The loss after some steps of Adam."""
    model, data = make_model(), make_input()
    run = torch.compile(model) if compiled else model
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    for _ in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        loss = (run(data) - 1).square().mean()
        loss.backward()
        optimizer.step()
    return float(loss)


@torch.inference_mode()
def infer() -> float:
    """The mean of what comes out in half precision."""
    model, data = make_model().half(), make_input().half()
    for _ in range(STEPS):
        result = model(data)
    return float(result.float().mean())


@torch.inference_mode()
def graphs() -> float:
    """The same by a graph that was captured once, memory and all."""
    model, data = make_model(), make_input()
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        model(data)
    torch.cuda.current_stream().wait_stream(stream)
    with torch.cuda.graph(graph):
        result = model(data)
    for _ in range(STEPS):
        graph.replay()
    return float(result.mean())


def ask(size: int) -> torch.Tensor:
    """By the allocator that is set."""
    torch.cuda.empty_cache()
    return torch.empty(size, dtype=torch.uint8, device="cuda")


WORK = {"train": train, "infer": infer, "graphs": graphs, "compile": lambda: train(compiled=True)}
answer(f"torch {torch.__version__}", torch.cuda.mem_get_info()[1], WORK[variant()], ask)
