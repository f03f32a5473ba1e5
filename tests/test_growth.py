"""Training takes no more memory after many steps than after some."""

import gc
import tracemalloc

from dltrain import config as configs
from dltrain.launch import engine_of

SMALLEST = 4096  # bytes: a list that keeps one number of each of 300 steps takes more


def test_steps_leave_nothing_behind(small):
    config = configs.read(small, ("engine.threads=2",))
    engine = engine_of(config, "cpu")

    def after(last, first):
        """The bytes that are held after these steps."""
        for number in range(first, last):
            engine.step([config.feed.train_batch_now(number)], config.solver.rates(number, config.horizon))
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    try:
        tracemalloc.start()
        after_some = after(700, first=0)  # by then all that Python and NumPy keep for the next time is there
        assert after(1000, first=700) - after_some < SMALLEST
    finally:
        tracemalloc.stop()
        config.feed.close()
        engine.close()
