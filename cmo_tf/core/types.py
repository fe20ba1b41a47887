"""What the annotations of public names speak of."""

from typing import Any, TypeAlias

from numpy.typing import ArrayLike

# A tensor of the Keras backend, or what it makes one of. Keras publishes no types, so nothing narrower can be said.
Tensor: TypeAlias = Any
# A keras.Model or keras.Layer, for modules that are imported without keras.
Model: TypeAlias = Any
# Columns of a batch by name: `image`, `label`, `image_q`, ...
Batch: TypeAlias = dict[str, Tensor]

__all__ = ["ArrayLike", "Batch", "Model", "Tensor"]
