"""Which of Keras' metrics fit what `LongTailClassifier` shows them: integer labels (B,) and logits (B, C)."""

import keras

from cmo_tf.core.errors import UserError

FITTING = ("SparseCategoricalAccuracy", "SparseTopKCategoricalAccuracy", "SparseCategoricalCrossentropy",
           "sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy")
WAY_OUT = ("metrics here see integer labels and logits; take 'accuracy', SparseTopKCategoricalAccuracy(k), "
           "SparseCategoricalCrossentropy(from_logits=True), or compute it from "
           "keras.ops.softmax(model.predict(images))")


def check_metrics(metrics: object, argument: str = "metrics") -> None:
    """A UserError for a metric of Keras that takes probabilities or one-hot labels: some fail deep inside Keras, some
    are wrong without a word.

    Args:
        metrics: as in `compile`: None, names, functions and metrics, in a list or dict. Those that are not Keras' own
            pass.
        argument: of compile, leads the message.
    """
    for metric in keras.tree.flatten(metrics):
        if metric is None or (isinstance(metric, str) and metric.lower() in ("accuracy", "acc")):
            continue
        metric = _named(metric, argument) if isinstance(metric, str) else metric
        if type(metric) is keras.metrics.MeanMetricWrapper:
            metric = metric._fn
        kind = metric if hasattr(metric, "__name__") else type(metric)  # a function or class, or an instance
        if kind.__module__.partition(".")[0] != "keras":
            continue
        config = metric.get_config() if isinstance(metric, keras.metrics.Metric) else {}
        if kind.__name__ not in FITTING or not config.get("from_logits", True):
            raise UserError(f"compile({argument}={kind.__name__}): takes probabilities or one-hot labels; "
                            f"{WAY_OUT}")


def _named(name, argument):
    try:
        return keras.metrics.get(name)
    except ValueError:
        raise UserError(f"compile({argument}={name!r}): Keras names no metric so; {WAY_OUT}") from None
