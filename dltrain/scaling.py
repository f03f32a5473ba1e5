"""Loss scaling: what a step in fp16 does so that small gradients do not vanish, and large ones do no harm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dltrain.ops.signature import OPS, Call, Tracer
from dltrain.tensor import Shape, Tensor

FIRST = 2.0**16
EVERY = 2000  # steps in a row that were not too large, before the factor is doubled


class Scaling:
    """The factor of the objective on the way back, and how many steps it has held; both on the device, both saved."""

    def __init__(self) -> None:
        self.factor = Tensor("loss_scale", Shape((1,)), "scalar")
        self.taken = Tensor("loss_scale held", Shape((1,)), "scalar")
        self.stands: dict[Tensor, Tensor] = {}

    @property
    def first(self) -> dict[Tensor, float]:
        """Both before the first step."""
        return {self.factor: FIRST, self.taken: 0.0}

    def magnify(self, calls: Sequence[Call], prices: Sequence[Tensor]) -> list[Call]:
        """The calls, reading the factor times what the objective asks in the place of what it asks."""
        made, done = list[Call](), set[Tensor]()
        for call in calls:
            asked = [tensor for _, tensor in call.uses("in") if tensor in prices]
            for price in asked:
                if price not in done:
                    done.add(price)
                    stand = self.stands.setdefault(price, Tensor(f"{price.name} scaled", price.shape))
                    args = {"x": price, "factor": self.factor, "y": stand}
                    made.append(Call(OPS["magnified"], args, call.layer, "backward"))
            made.append(replace(call, args={key: self.stood(value) for key, value in call.args.items()}) if asked else call)
        return made

    def stood(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(self.stood(item) for item in value)
        return self.stands.get(value, value) if isinstance(value, Tensor) else value

    def before(self, ops: Tracer, g: Tensor, failed: Tensor) -> None:
        """Ahead of the update."""
        ops.reduced(g, self.factor, failed)

    def behind(self, ops: Tracer, failed: Tensor) -> None:
        ops.follow(self.factor, self.taken, failed, EVERY)
