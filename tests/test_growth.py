"""Training takes no more memory after many steps than after some."""

import gc
import sys

from dltrain import config as configs
from dltrain.launch import engine_of


def test_steps_leave_nothing_behind(small):
    config = configs.read(small, ("engine.threads=2",))
    engine = engine_of(config, "cpu")
    batch = config.feed.train_batch_now(0)

    def after(steps):
        """The pieces of memory that Python holds after so many more: numbers, lists, arrays."""
        for number in range(steps):
            engine.step([batch], config.solver.rates(number, config.horizon))
        gc.collect()
        return sys.getallocatedblocks()

    try:
        held = after(400)  # by then what Python and NumPy keep for the next time is there
        assert after(300) - held < 150, "not one piece every second step"
    finally:
        config.feed.close()
        engine.close()
