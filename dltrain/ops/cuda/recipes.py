"""All recipes: importing this fills the table of the back end."""

from dltrain.ops.cuda import chance, channelwise, vision, dense, elementwise, moves, update  # noqa: F401
