"""JAX: its client takes three quarters of what it sees, before anything else."""

import jax
import jax.numpy as jnp
from answering import answer


def work() -> float:
    """Gradient steps of a compiled function."""
    data = jnp.linspace(-1, 1, 512 * 512).reshape(512, 512)
    step = jax.jit(
        lambda weights: weights - 1e-3 * jax.grad(lambda w: jnp.mean((jnp.tanh(data @ w) - 1) ** 2))(weights)
    )
    weights = jnp.eye(512)
    for _ in range(30):
        weights = step(weights)
    return float(jnp.abs(weights).sum())


assert jax.default_backend() == "gpu", f"JAX runs on {jax.default_backend()}"
answer(f"jax {jax.__version__}", None, work, lambda size: jnp.zeros(size, dtype=jnp.uint8).block_until_ready())
