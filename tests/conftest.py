"""What all tests share: full registries."""

import dltrain.catalogue  # noqa: F401
