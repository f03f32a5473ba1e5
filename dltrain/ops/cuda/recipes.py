"""All recipes: importing this fills the table of the back end."""

from dltrain.ops.cuda import chance, channelwise, vision, dense, elementwise, metrics, moves, pooling, update, vocabulary  # noqa: F401
