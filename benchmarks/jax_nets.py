"""The nets of the benchmarks in JAX, from the lines of our net: a whole training step compiled as one, its arrays given away.

Values and rules are ours: first values, SGD with the rate inside the velocity, no decay of biases and scales, the gradient's
norm bounded.  So the losses of both, step by step, are the same numbers to rounding, and a test holds them to that (but for
Dropout, whose draws are JAX's own).  Images are N, H, W, C, which XLA's convolutions on CPUs take without turning them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np

Tree = dict[str, Any]
RUNNING = 0.1  # a batch's part in the running moments of BatchNorm, as the other peer has it


def begin(threads: int) -> None:
    """Before JAX is imported: the threads of XLA's pool.  (intra_op_parallelism_threads in XLA_FLAGS no longer does anything.)"""
    os.environ["PJRT_NPROC"] = str(threads)
    os.environ["JAX_PLATFORMS"] = "cpu"


def jax_side(net: Any, bench: Any, rates: dict[str, float], feed: dict[str, Any], phase: str) -> tuple[Callable[[], Any], str]:
    """A step on this batch, which gives the loss, and what ran."""
    import jax

    data, label = jax.numpy.asarray(image(feed["data"])), jax.numpy.asarray(feed["label"])
    held: list[Any] = [values(net), states(net), None, jax.random.key(1)]
    held[2] = jax.tree.map(jax.numpy.zeros_like, held[0])
    run = jax.jit(training(net, bench, rates), donate_argnums=(0, 1, 2, 3))
    look = jax.jit(lambda w, state, key: loss_of(net, "test")(w, state, key, data, label)[0])

    def step() -> Any:
        loss, *held[:] = run(*held, data, label)
        return jax.block_until_ready((loss, held))[0]

    def test() -> Any:
        return jax.block_until_ready(look(held[0], held[1], held[3]))

    return step if phase == "train" else test, f"jax {jax.__version__}, {os.environ['PJRT_NPROC']} threads"


def training(net: Any, bench: Any, rates: dict[str, float]) -> Callable[..., Any]:
    """(w, states, velocity, key, data, label) -> the loss, and all of them after one update"""
    import jax
    import jax.numpy as jnp

    slope = jax.value_and_grad(loss_of(net, "train"), has_aux=True)
    decays = {part.name: part.decay_mult * rates["decay"] for part in net.store.segments.values()}

    def run(w: Tree, state: Tree, velocity: Tree, key: Any, data: Any, label: Any) -> tuple[Any, ...]:
        key, drawn = jax.random.split(key)
        (loss, state), g = slope(w, state, drawn, data, label)
        if bench.clip is not None:
            norm = jnp.sqrt(sum(jnp.sum(part * part) for part in g.values()))
            g = {name: part * jnp.minimum(1.0, bench.clip / norm) for name, part in g.items()}
        velocity = {name: rates["momentum"] * velocity[name] + rates["lr"] * (g[name] + decays[name] * w[name]) for name in w}
        return loss, {name: w[name] - velocity[name] for name in w}, state, velocity, key

    return run


def loss_of(net: Any, phase: str) -> Callable[..., Any]:
    """(w, states, key, data, label) -> (the loss, the states after it)"""
    graph = net.graph(phase, net.shapes["train"]["data"][:1])

    def loss(w: Tree, state: Tree, key: Any, data: Any, label: Any) -> tuple[Any, Tree]:
        import jax

        blobs, state = {}, dict(state)
        for number in net.order:
            line, layer = net.lines[number], graph.layers[net.lines[number].name]
            xs = [data if ref.field == "data" else label if ref.field else blobs[ref.line] for ref in line.refs]
            key, drawn = jax.random.split(key)
            mine = {role: w[f"{line.name}.{role}"] for owner, role in net.store.segments if owner == line.name}
            blobs[number] = ACTS[line.layer.type](layer, mine, state, drawn, *xs)
        return blobs[net.order[-1]], state

    return loss


# --- layouts: what is N, C, H, W with us is N, H, W, C here, and a weight's outputs stand last ---
def image(x: Any) -> Any:
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if x.ndim == 4 else x


def values(net: Any, seed: int = 1) -> Tree:
    """First values, those that our engine begins with."""
    import jax.numpy as jnp

    made = {part.name: np.asarray(part.fill(seed), np.float32) for part in net.store.segments.values()}
    return {name: jnp.asarray(w.transpose(2, 3, 1, 0) if w.ndim == 4 else w) for name, w in made.items()}


def states(net: Any) -> Tree:
    """Running means and variances of BatchNorm."""
    import jax.numpy as jnp

    sizes = {line.name: net.shapes["train"][line.name][1] for line in net.lines if line.layer.type == "BatchNorm"}
    return {name: (jnp.zeros(size), jnp.ones(size)) for name, size in sizes.items()}


# --- layers: (the layer as it is set up, its parameters, states, a key to draw with, its bottoms) ---
def convolution(it: Any, w: Tree, state: Tree, key: Any, x: Any) -> Any:
    from jax import lax

    window = it.window
    y = lax.conv_general_dilated(
        x, w["weight"], window.stride, [(p, p) for p in window.pad], dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=window.group,
    )  # fmt: skip
    return y + w["bias"] if "bias" in w else y


def pooling(it: Any, w: Tree, state: Tree, key: Any, x: Any) -> Any:
    import jax.numpy as jnp
    from jax import lax

    kernel, stride, sizes = it.window.kernel, it.window.stride, x.shape[1:3]
    assert not any(it.window.pad)
    if kernel == (1, 1):
        return x[:, :: stride[0], :: stride[1]]
    outputs = it.window.pooled(sizes, it.round == "ceil")
    over = [(0, max(0, (o - 1) * s + k - n)) for o, s, k, n in zip(outputs, stride, kernel, sizes, strict=True)]
    frame = ((1, *kernel, 1), (1, *stride, 1), ((0, 0), *over, (0, 0)))
    if it.pool == "max":
        return lax.reduce_window(x, -jnp.inf, lax.max, *frame)
    area = lax.reduce_window(np.ones((1, *sizes, 1), np.float32), 0.0, lax.add, *frame)
    return lax.reduce_window(x, 0.0, lax.add, *frame) / area


def inner_product(it: Any, w: Tree, state: Tree, key: Any, x: Any) -> Any:
    if x.ndim == 4:
        x = x.transpose(0, 3, 1, 2)
    x = x.reshape(*x.shape[: it.axis], math.prod(x.shape[it.axis :]))
    return x @ w["weight"].T + w["bias"]


def lrn(it: Any, w: Tree, state: Tree, key: Any, x: Any) -> Any:
    import jax.numpy as jnp

    half, channels = it.local_size // 2, x.shape[3]
    squares = jnp.pad(x * x, ((0, 0), (0, 0), (0, 0), (half, half)))
    total = sum(squares[..., at : at + channels] for at in range(it.local_size))
    return x * (it.k + it.alpha / it.local_size * total) ** -it.beta


def relu(it: Any, w: Tree, state: Tree, key: Any, x: Any) -> Any:
    import jax

    return jax.nn.relu(x)


def dropout(it: Any, w: Tree, state: Tree, key: Any, x: Any) -> Any:
    import jax

    if not it.train:
        return x
    return jax.numpy.where(jax.random.bernoulli(key, 1 - it.dropout_ratio, x.shape), x / (1 - it.dropout_ratio), 0.0)


def batch_norm(it: Any, w: Tree, state: Tree, key: Any, x: Any) -> Any:
    from jax import lax

    mean, variance = state[it.name]
    if it.train:
        count = x.size // x.shape[3]
        now = x.mean((0, 1, 2)), x.var((0, 1, 2))
        fair = (now[0], now[1] * count / (count - 1))
        state[it.name] = tuple(
            lax.stop_gradient((1 - RUNNING) * old + RUNNING * new) for old, new in zip((mean, variance), fair, strict=True)
        )
        mean, variance = now
    return (x - mean) * (lax.rsqrt(variance + it.eps) * w["scale"]) + w["bias"]


def padded(it: Any, w: Tree, state: Tree, key: Any, x: Any) -> Any:
    import jax.numpy as jnp

    assert it.axis == 1 and not any(it.pad[1:]) and it.pad_after is None
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (it.pad[0], it.pad[0])))


def lstm(it: Any, w: Tree, state: Tree, key: Any, x: Any) -> Any:
    """What a level reads from below is one product over all steps; a step then only adds what comes from the step before."""
    import jax
    import jax.numpy as jnp

    for level in ("", *(f"_l{number}" for number in range(1, it.num_layers))):
        below = (x @ w[f"weight_x{level}"].T + w[f"bias{level}"]).transpose(1, 0, 2)
        across, nothing = w[f"weight_h{level}"].T, jnp.zeros((len(x), it.num_output))

        def step(carried: Any, now: Any, across: Any = across) -> tuple[Any, Any]:
            h, c = carried
            i, f, o, g = jnp.split(now + h @ across, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        x = jax.lax.scan(step, (nothing, nothing), below)[1].transpose(1, 0, 2)
    return x


def softmax_loss(it: Any, w: Tree, state: Tree, key: Any, x: Any, label: Any) -> Any:
    import jax

    log_p = jax.nn.log_softmax(x, axis=-1)
    return -jax.numpy.take_along_axis(log_p, label[..., None], axis=-1).mean()


ACTS: dict[str, Callable[..., Any]] = {
    "Convolution": convolution, "Pooling": pooling, "InnerProduct": inner_product, "LRN": lrn, "Dropout": dropout,
    "BatchNorm": batch_norm, "Pad": padded, "LSTM": lstm, "SoftmaxWithLoss": softmax_loss,
    "ReLU": relu, "Eltwise": lambda it, w, state, key, *xs: sum(xs[1:], xs[0]),
    "Embed": lambda it, w, state, key, x: w["weight"][x],
}  # fmt: skip
