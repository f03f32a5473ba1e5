"""Moving values without changing them.  Most of these disappear in the plan, where a view will do."""

from dltrain.ops.signature import In, Out, op


@op(y="x")
def copy(x: In, y: Out) -> None:
    """y = x"""
    y[...] = x


@op()
def reshape(x: In, y: Out) -> None:
    """y = x in another shape, in the order of the logical index"""
    y[...] = x.reshape(y.shape)


@op()
def concat(xs: In, y: Out, axis: int) -> None:
    """y = xs one behind another along the axis"""
    at = 0
    for x in xs:
        y[(slice(None),) * axis + (slice(at, at + x.shape[axis]),)] = x
        at += x.shape[axis]


@op()
def cut(x: In, y: Out, axis: int, start: int) -> None:
    """y = x from `start` on along the axis, as much as y holds"""
    y[...] = x[(slice(None),) * axis + (slice(start, start + y.shape[axis]),)]


@op()
def fill(y: Out, value: float) -> None:
    """y = value everywhere"""
    y[...] = value
