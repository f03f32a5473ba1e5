"""Fills the registries: importing this module makes every layer, solver, source, filler and op known by its name."""

import dltrain.data
import dltrain.fillers
import dltrain.layers
import dltrain.ops.reference
import dltrain.solvers  # noqa: F401
