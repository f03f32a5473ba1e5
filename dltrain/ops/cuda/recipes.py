"""All recipes: importing this fills the table of the back end."""

from dltrain.ops.cuda import dense, elementwise, update  # noqa: F401
