"""First values of parameters: a distribution each, drawn from the seed and the parameter's name."""

from __future__ import annotations

from math import prod, sqrt
from typing import Any, Literal, NamedTuple

import numpy as np

from dltrain.errors import Refusal
from dltrain.fields import Finite, Natural, NonNegative
from dltrain.ops import philox
from dltrain.registry import FILLERS

filler = FILLERS.add

Fan = Literal["fan_in", "fan_out", "average"]


class Law(NamedTuple):
    """w = start + wide z, z normal, or even in [0, 1); kept with a probability, where that is not below 0.

    fixed: z is not drawn.  rows: each row is divided by its sum.
    """

    kind: Literal["normal", "even", "rows", "fixed"]
    start: float = 0.0
    wide: float = 1.0
    kept: float = -1.0


class Filler:
    """fill(shape, key) -> float64 array; a pure function of both."""

    type: str

    def fits(self, shape: tuple[int, ...]) -> None:
        """Refuses a shape that it has no values for."""

    def fill(self, shape: tuple[int, ...], key: tuple[int, int]) -> Any:
        raise NotImplementedError

    def law(self, shape: tuple[int, ...]) -> Law | None:
        """How a device draws such values; None where that takes more."""
        return None

    @property
    def constant(self) -> bool:
        """True where all values are equal."""
        return False


def fan(shape: tuple[int, ...], norm: Fan) -> float:
    """Caffe's n: fan_in = count / shape[0], fan_out = count / shape[1] (count where there is one axis), or their mean."""
    count = prod(shape)
    fan_in, fan_out = count / shape[0], count / shape[1] if len(shape) > 1 else float(count)
    return {"fan_in": fan_in, "fan_out": fan_out, "average": (fan_in + fan_out) / 2}[norm]


@filler("constant")
class Constant(Filler):
    """w = value"""

    value: Finite = 0.0

    @property
    def constant(self) -> bool:
        return True

    def fill(self, shape: tuple[int, ...], key: tuple[int, int]) -> Any:
        return np.full(shape, self.value)

    def law(self, shape: tuple[int, ...]) -> Law:
        return Law("fixed")


@filler("uniform")
class Uniform(Filler):
    """w ~ U[min, max)"""

    min: Finite = 0.0
    max: Finite = 1.0

    @property
    def constant(self) -> bool:
        return self.min == self.max

    def fill(self, shape: tuple[int, ...], key: tuple[int, int]) -> Any:
        w = philox.uniform(key, 0, prod(shape))
        w *= self.max - self.min  # in its place: this may be the largest array of a run
        w += self.min
        return w.reshape(shape)

    def law(self, shape: tuple[int, ...]) -> Law:
        return Law("even", self.min, self.max - self.min)


@filler("gaussian")
class Gaussian(Filler):
    """w ~ N(mean, std)

    With `sparse` a weight is kept with probability sparse / shape[0] and is 0 else: about that many outputs read each input.
    """

    mean: Finite = 0.0
    std: NonNegative = 1.0
    sparse: Natural | None = None

    @property
    def constant(self) -> bool:
        return self.std == 0 and (self.sparse is None or self.mean == 0)

    def fill(self, shape: tuple[int, ...], key: tuple[int, int]) -> Any:
        w = philox.normal(key, 0, prod(shape)).reshape(shape)
        w *= self.std
        w += self.mean
        return w if self.sparse is None else w * (philox.uniform(key, 1, prod(shape)).reshape(shape) < self.sparse / shape[0])

    def law(self, shape: tuple[int, ...]) -> Law:
        return Law("normal", self.mean, self.std, -1.0 if self.sparse is None else self.sparse / shape[0])


@filler("positive_unitball")
class PositiveUnitball(Filler):
    """w ~ U[0, 1), each row then divided by its sum"""

    def fill(self, shape: tuple[int, ...], key: tuple[int, int]) -> Any:
        rows = philox.uniform(key, 0, prod(shape)).reshape(shape[0], -1)
        return (rows / rows.sum(axis=1, keepdims=True)).reshape(shape)

    def law(self, shape: tuple[int, ...]) -> Law:
        return Law("rows")


@filler("xavier")
class Xavier(Filler):
    """w ~ U(-a, a), a = sqrt(3 / n)          Glorot & Bengio, AISTATS 2010, with Caffe's n"""

    variance_norm: Fan = "fan_in"

    def fill(self, shape: tuple[int, ...], key: tuple[int, int]) -> Any:
        a = sqrt(3.0 / fan(shape, self.variance_norm))
        w = philox.uniform(key, 0, prod(shape))
        w *= 2.0
        w -= 1.0
        w *= a
        return w.reshape(shape)

    def law(self, shape: tuple[int, ...]) -> Law:
        a = sqrt(3.0 / fan(shape, self.variance_norm))
        return Law("even", -a, 2.0 * a)


@filler("msra")
class Msra(Filler):
    """w ~ N(0, sqrt(2 / n))          He et al., ICCV 2015"""

    variance_norm: Fan = "fan_in"

    def fill(self, shape: tuple[int, ...], key: tuple[int, int]) -> Any:
        w = philox.normal(key, 0, prod(shape))
        w *= sqrt(2.0 / fan(shape, self.variance_norm))
        return w.reshape(shape)

    def law(self, shape: tuple[int, ...]) -> Law:
        return Law("normal", 0.0, sqrt(2.0 / fan(shape, self.variance_norm)))


@filler("bilinear")
class Bilinear(Filler):
    """w(y, x) = (1 - |y/f - c|) (1 - |x/f - c|),   f = ceil(K/2), c = (K - 1) / (2 f): a Deconvolution that enlarges f times

    Every K x K kernel is the same, so each output should read one input: give that Deconvolution group = num_output.
    """

    def fits(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 4 or shape[2] != shape[3]:
            words = " x ".join(map(str, shape))
            raise Refusal("param", f"filler bilinear is for weights N x C x K x K, not {words}; choose another filler")

    def fill(self, shape: tuple[int, ...], key: tuple[int, int]) -> Any:
        self.fits(shape)
        f = -(-shape[3] // 2)
        line = 1 - np.abs(np.arange(shape[3]) / f - (shape[3] - 1) / (2 * f))
        return np.broadcast_to(np.outer(line, line), shape).copy()

    def law(self, shape: tuple[int, ...]) -> Law:
        return Law("fixed")


@filler("orthogonal")
class Orthogonal(Filler):
    """Orthonormal rows (columns, where there are more rows), times gain; of a kernel all axes after the first are one

    Q of the QR of a normal matrix, with the signs that make the diagonal of R positive, so that it is uniformly distributed.
    Saxe, McClelland & Ganguli, ICLR 2014, arXiv:1312.6120.
    """

    gain: Finite = 1.0

    def fill(self, shape: tuple[int, ...], key: tuple[int, int]) -> Any:
        rows, columns = shape[0], prod(shape[1:])
        drawn = philox.normal(key, 0, rows * columns).reshape(rows, columns)
        q, r = np.linalg.qr(drawn if rows >= columns else drawn.T)
        q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


@filler("identity")
class Identity(Filler):
    """w = gain where output and input are the same (in the middle of a kernel), else 0

    Le, Jaitly & Hinton 2015, arXiv:1504.00941: a start for recurrent weights.
    """

    gain: Finite = 1.0

    def fits(self, shape: tuple[int, ...]) -> None:
        if len(shape) < 2:
            raise Refusal("param", f"filler identity is for weights with an output and an input axis, not {shape[0]}")

    def fill(self, shape: tuple[int, ...], key: tuple[int, int]) -> Any:
        self.fits(shape)
        w, same = np.zeros(shape), np.arange(min(shape[:2]))
        middle: Any = [(size - 1) // 2 for size in shape[2:]]
        w[(same, same, *middle)] = self.gain
        return w

    def law(self, shape: tuple[int, ...]) -> Law:
        return Law("fixed")


def symmetric(net: Any) -> list[str]:
    """The learned weights that begin with all values equal: units that begin alike, and stay so if those above do not differ.

    Left out is what cannot suffer: a single unit, and layers with no parameters above them, where the labels tell units apart.
    """
    learned = [part for part in net.store.segments.values() if not part.frozen and len(part.shape) > 1]
    below: set[int] = set()  # lines that a layer with learned weights reads, directly or not
    for number in reversed(net.order):
        line = net.lines[number]
        if number in below or any(part.layer == line.name for part in learned):
            below |= {ref.line for ref in line.refs}
    hidden = {net.lines[number].name for number in below if number >= 0}
    return [part.name for part in learned if part.layer in hidden and part.shape[0] > 1 and part.filler.constant]
