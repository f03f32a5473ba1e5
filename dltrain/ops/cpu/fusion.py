"""What the CPU joins: convolutions and norms with what follows, a convolution's two gradients, where nobody looks between."""

from __future__ import annotations

from collections.abc import Iterable

from dltrain.ops.formula import summed
from dltrain.ops.signature import OPS, Call
from dltrain.tensor import Tensor


class Flow:
    """Calls in their order, and who reads and who writes each tensor; some calls may be replaced by others in their place."""

    def __init__(self, calls: list[Call]) -> None:
        self.places: dict[Call, tuple[int, ...]] = {}
        self.reading: dict[Tensor, set[Call]] = {}
        self.writing: dict[Tensor, set[Call]] = {}
        for number, call in enumerate(calls):
            self.add(call, (number,))

    def add(self, call: Call, place: tuple[int, ...]) -> None:
        self.places[call] = place
        for known, tensors in ((self.reading, call.reads()), (self.writing, call.writes())):
            for tensor in tensors:
                known.setdefault(tensor, set()).add(call)

    def replace(self, new: dict[Call, list[Call]]) -> None:
        for call, pieces in new.items():
            place = self.places.pop(call)
            for known, tensors in ((self.reading, call.reads()), (self.writing, call.writes())):
                for tensor in tensors:
                    known[tensor].discard(call)
            for number, piece in enumerate(pieces):
                self.add(piece, (*place, number))

    def ordered(self, calls: Iterable[Call]) -> list[Call]:
        return sorted(calls, key=self.places.__getitem__)

    def of(self, name: str) -> list[Call]:
        """The calls of this op."""
        return self.ordered(call for call in self.places if call.op.name == name)

    def readers(self, tensor: Tensor | None) -> list[Call]:
        return [] if tensor is None else self.ordered(self.reading.get(tensor, ()))

    def writer(self, tensor: Tensor) -> Call | None:
        """The first of those that write it."""
        return next(iter(self.ordered(self.writing.get(tensor, ()))), None)

    def activations(self) -> list[Call]:
        """Formulas of one tensor, on the way forward."""
        return [call for call in self.of("elementwise") if call.way == "forward" and len(call.args["xs"]) == 1]

    def unpooling(self, pool: Call) -> Call | None:
        """The call that sends the gradient back to the winners of this one."""
        return next((call for call in self.readers(pool.args["winner"]) if call.op.name == "max_pool_dx"), None)


def fuse(calls: list[Call], keep: set[Tensor]) -> list[Call]:
    """Rewrites the calls; each rewrite leaves all values that anybody reads as they were (to rounding)."""
    flow = Flow(calls)
    for rewrite in REWRITES:
        rewrite(flow, keep)
    if any(call.op.name == "update" and call.args["iter_size"] == 1 for call in flow.places):
        mark_fresh(flow)
    return flow.ordered(flow.places)


def mark_fresh(flow: Flow) -> None:
    """In a whole step of one pass a gradient that only one call adds to is 0 before: that call may write instead.

    The mark stands on a copy: the graph's own call is part of other plans, too.
    """
    found: dict[Call, frozenset[str]] = {}
    for tensor, writers in flow.writing.items():
        adding = [(call, name) for call in writers for name, other in call.uses("add") if other is tensor]
        if tensor.home == "param_grad" and len(adding) == 1:
            call, name = adding[0]
            found[call] = found.get(call, frozenset()) | {name}
    for call, names in found.items():
        flow.replace({call: [Call(call.op, call.args, call.layer, call.way, {**call.tags, "fresh": names})]})


def made(name: str, like: Call, **args: object) -> Call:
    op = OPS[name]
    return Call(op, {parameter: args.get(parameter) for parameter in op.parameters}, like.layer, like.way)


def planar(*tensors: Tensor | None) -> bool:
    return all(tensor is None or len(tensor.shape) == 4 for tensor in tensors)


def pool_before_activation(flow: Flow, keep: set[Tensor]) -> None:
    """max_pool(f(x)) = f(max_pool(x)) for an f that never falls: the activation then works on the pooled image only.

    Backward alike: f's gradient is taken at the winners, from the pooled values.
    """
    for pool in flow.of("max_pool"):
        act = flow.writer(pool.args["x"])
        if act is None or act.op.name != "elementwise" or not act.args["monotone"] or len(act.args["xs"]) != 1 or gaps(pool):
            continue
        x, y, z = act.args["xs"][0], act.args["y"], pool.args["y"]
        back = [call for call in flow.readers(y) if call is not pool]
        unpool = flow.unpooling(pool)
        if any(call is not unpool for call in flow.readers(pool.args["winner"])):
            continue  # somebody looks at the winners themselves
        if y in keep or len(flow.readers(x)) != 1 or len(back) > 1 or bool(back) != bool(unpool):
            continue
        pooled = Tensor(f"{z.name} before {act.layer}", z.shape)
        new = {
            pool: [
                made("max_pool", pool, **{**pool.args, "x": x, "y": pooled}),
                made("elementwise", act, **{**act.args, "xs": (pooled,), "y": z}),
            ]
        }
        if back and unpool is not None:
            df, dz = back[0], unpool.args["dy"]
            if df.op.name != "elementwise" or unpool.args["dx"] not in df.args["xs"] or df.args["y"] in keep:
                continue
            slope = Tensor(f"{dz.name} before {act.layer}", dz.shape)
            swapped = tuple({y: z, unpool.args["dx"]: dz}.get(tensor, tensor) for tensor in df.args["xs"])
            new[unpool] = [made("elementwise", df, **{**df.args, "xs": swapped, "y": slope})]
            new[df] = [made("max_pool_dx", unpool, dy=slope, winner=pool.args["winner"], dx=df.args["y"])]
        flow.replace({**new, act: []})


def gaps(pool: Call) -> bool:
    """True where a window may lie wholly outside the image."""
    window = pool.args["window"]
    return any(s > k for s, k in zip(window.stride, window.kernel, strict=True))


def pooled_convolutions(flow: Flow, keep: set[Tensor]) -> None:
    """conv then max_pool is one call, and so are their gradients: the image between is never stored."""
    for pool in flow.of("max_pool"):
        conv = flow.writer(pool.args["x"])
        if conv is None or conv.op.name != "conv" or not planar(conv.args["x"]) or pool.args["x"] in keep or gaps(pool):
            continue
        if flow.readers(conv.args["y"]) != [pool]:
            continue
        own = {"y": pool.args["y"], "winner": pool.args["winner"], "pool": pool.args["window"]}
        new: dict[Call, list[Call]] = {conv: [], pool: [made("conv_max_pool", conv, **{**conv.args, **own})]}
        unpool = flow.unpooling(pool)
        if unpool is not None:
            grads = flow.readers(unpool.args["dx"])
            if any(call.op.name not in ("conv_dw", "conv_dx") for call in grads) or unpool.args["dx"] in keep:
                continue
            args = {key: value for call in grads for key, value in call.args.items()}
            args |= {"x": conv.args["x"], "w": conv.args["w"], "pool": pool.args["window"]}
            joint = made("conv_max_pool_grad", grads[0], **{**args, "dy": unpool.args["dy"], "winner": unpool.args["winner"]})
            new |= {unpool: [], **{call: [] for call in grads}, grads[-1]: [joint]}
        flow.replace(new)


def activated_convolutions(flow: Flow, keep: set[Tensor]) -> None:
    """conv then an activation that only the activation reads is one call: the formula runs while the chunk is in the cache."""
    for act in flow.activations():
        conv = flow.writer(act.args["xs"][0])
        if conv is not None and conv.op.name == "conv" and planar(conv.args["x"]):
            activate(flow, conv, act, keep)


def activated_products(flow: Flow, keep: set[Tensor]) -> None:
    """inner_product then an activation, likewise."""
    for act in flow.activations():
        product = flow.writer(act.args["xs"][0])
        if product is not None and product.op.name == "inner_product":
            activate(flow, product, act, keep)


def activate(flow: Flow, call: Call, act: Call, keep: set[Tensor]) -> None:
    """One call for both, where nobody else reads what lies between."""
    if call.args["y"] not in keep and flow.readers(call.args["y"]) == [act]:
        own = {name: act.args[name] for name in ("y", "formula", "constants")}
        flow.replace({call: [], act: [made(f"{call.op.name}_elementwise", call, **{**call.args, **own})]})


def same_way(one: Call, other: Call) -> bool:
    return (one.layer, one.way) == (other.layer, other.way)


def joined_gradients(flow: Flow, keep: set[Tensor]) -> None:
    """conv_dw and conv_dx of one gradient are one call: patches and gradient are in the cache for both."""
    for dw in [call for call in flow.of("conv_dw") if planar(call.args["x"]) and call.args["dw"]]:
        dx = next((call for call in flow.readers(dw.args["dy"]) if call.op.name == "conv_dx" and same_way(call, dw)), None)
        joint = made("conv_grad", dw, **{**dw.args, **(dx.args if dx else {})})
        flow.replace({dw: [joint], **({dx: []} if dx else {})})


def activated_norms(flow: Flow, keep: set[Tensor]) -> None:
    """channel_norm, perhaps a shortcut added, then an activation are one call; what lies between is never stored."""

    def between(call: Call | None, reader: Call) -> bool:
        return call is not None and call.args["y"] not in keep and flow.readers(call.args["y"]) == [reader]

    def norm_of(tensor: Tensor, reader: Call) -> Call | None:
        found = flow.writer(tensor)
        fits = found is not None and found.op.name == "channel_norm" and len(tensor.shape) in (2, 4)
        return found if fits and between(found, reader) else None

    for act in flow.activations():
        norm, other, gone = norm_of(act.args["xs"][0], act), None, []
        added = flow.writer(act.args["xs"][0])
        if added is not None and added.op.name == "weighted_sum" and added.args["weights"] == (1.0, 1.0) and between(added, act):
            one, two = added.args["xs"]
            norm, other, gone = norm_of(one, added), two, [added]
            if norm is None:
                norm, other = norm_of(two, added), one
        if norm is None or (other is not None and other.shape != norm.args["y"].shape):
            continue
        args = {**norm.args, "other": other, **{name: act.args[name] for name in ("y", "formula", "constants")}}
        joint = made("channel_norm_elementwise", norm, **args)
        flow.replace({act: [joint], norm: [], **{call: [] for call in gone}})


def summed_first(flow: Flow, keep: set[Tensor]) -> None:
    """A sum, and then a formula of it that nobody else reads, are one formula: a shortcut's gradient through its activation."""
    for act in flow.of("elementwise"):
        xs = act.args["xs"]
        for place, x in enumerate(xs):
            added = flow.writer(x)
            fits = added is not None and added.op.name == "weighted_sum" and set(added.args["weights"]) == {1.0}
            if added is None or not fits or x in keep or flow.readers(x) != [act] or xs.count(x) > 1:
                continue
            terms = added.args["xs"]
            args = {"xs": (*xs[:place], *terms, *xs[place + 1 :]), "formula": summed(act.args["formula"], place, len(terms))}
            flow.replace({added: [], act: [made("elementwise", act, **{**act.args, **args, "monotone": False})]})
            break


REWRITES = (
    pool_before_activation, pooled_convolutions, activated_convolutions, activated_products, joined_gradients, activated_norms,
    summed_first,
)  # fmt: skip
