"""SGD with the recurrence of PyTorch, which the published recipes were tuned with."""

from collections.abc import Callable, Mapping

import keras
from keras import ops

from cmo_tf.core.errors import UserError


@keras.saving.register_keras_serializable(package="cmo_tf")
class SGD(keras.optimizers.Optimizer):
    """`g += l2 * w;  v = momentum * v + g;  w -= lr * v`, on every trainable, biases and BatchNorm included.

    Keras' own SGD keeps the rate inside the buffer (`v = momentum * v - lr * g`), so that its first steps after a drop
    of the rate are far too long, and its `weight_decay` is decoupled from momentum. With `nesterov` the step is
    `lr * (g + momentum * v)`. Gradient clipping comes before the L2 term, as it does in PyTorch.

    Args:
        learning_rate: float, schedule or callable, as in Keras.
        momentum: in [0, 1].
        l2: coefficient of the L2 term in the gradient (PyTorch's `weight_decay`), at least 0.
        nesterov: look ahead.
        lr_factors: layer name -> factor of the rate for the variables of that layer, 1 for all others (PyTorch's
            parameter groups). The L2 term is not scaled by it.
        keras_optimizer_arguments: those of keras.optimizers.Optimizer (clipnorm, use_ema, name, ...). Its decoupled
            `weight_decay` together with `l2` is a UserError.

    Source: `torch.optim.SGD`; methods of LDAM-DRW and CMO code.

    Examples:
        >>> w, optimizer = keras.Variable([1.0]), SGD(0.1, momentum=0.9, l2=0.5)
        >>> for _ in range(2):  # g = 0 + 0.5 * w: v = 0.5, w = 0.95; then v = 0.45 + 0.475, w = 0.95 - 0.0925
        ...     optimizer.apply([ops.zeros((1,))], [w])
        >>> round(float(w[0]), 4)
        0.8575
    """

    def __init__(self, learning_rate: float | Callable = 0.1, momentum: float = 0.9, l2: float = 0.0,
                 nesterov: bool = False, lr_factors: Mapping[str, float] | None = None, **keras_optimizer_arguments):
        if not 0 <= momentum <= 1:
            raise UserError(f"SGD: momentum {momentum} is not in [0, 1]")
        if not l2 >= 0:
            raise UserError(f"SGD: l2 {l2} is negative")
        if l2 and keras_optimizer_arguments.get("weight_decay"):
            raise UserError("SGD: l2 and weight_decay decay the weights twice; give one of them")
        if isinstance(learning_rate, int):
            learning_rate = float(learning_rate)
        super().__init__(learning_rate=learning_rate, **keras_optimizer_arguments)
        self.momentum = float(momentum)
        self.l2 = float(l2)
        self.nesterov = bool(nesterov)
        self.lr_factors = dict(lr_factors or {})

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        # Now, by index: under a tf.distribute strategy an update sees bare TensorFlow variables without a path.
        self._rate_factors = [self._lr_factor(variable) for variable in variables]
        self.velocities = self.add_optimizer_variables(variables, "velocity") if self.momentum else []

    def update_step(self, gradient, variable, learning_rate):
        step = ops.cast(gradient, variable.dtype)
        if self.l2:
            step = step + ops.cast(self.l2, variable.dtype) * variable
        if self.momentum:
            gradient, momentum = step, ops.cast(self.momentum, variable.dtype)
            velocity = self.velocities[self._get_variable_index(variable)]
            step = momentum * velocity + gradient
            self.assign(velocity, step)
            if self.nesterov:
                step = gradient + momentum * step
        rate = ops.cast(learning_rate, variable.dtype) * self._rate_factors[self._get_variable_index(variable)]
        self.assign_sub(variable, rate * step)

    def _lr_factor(self, variable):
        layers = variable.path.split("/")
        return next((factor for name, factor in self.lr_factors.items() if name in layers), 1.0)

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "l2": self.l2, "nesterov": self.nesterov,
                "lr_factors": self.lr_factors}
