"""All recipes: importing this fills the table of the back end."""

from dltrain.ops.cuda import (  # noqa: F401
    anyrank,
    chance,
    channelwise,
    convolution,
    dense,
    depthwise,
    elementwise,
    embed,
    losses,
    metrics,
    moves,
    norms,
    pointwise,
    pooling,
    products,
    softmax,
    update,
    vision,
    vocabulary,
)
