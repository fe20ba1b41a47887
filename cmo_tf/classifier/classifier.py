"""LongTailClassifier: a keras.Model that mixes on the device and sees every label set with its own normaliser."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from cmo_tf.classifier import accumulate, fit_data, loss_state, sharpness
from cmo_tf.classifier.batches import batch_of, unmixed
from cmo_tf.classifier.fused import fuse
from cmo_tf.classifier.labels import in_one_line, integer_labels
from cmo_tf.classifier.named_metrics import check_metrics
from cmo_tf.classifier.network import chain, classes_of
from cmo_tf.classifier.replicas import over_replicas, real_rows
from cmo_tf.core.class_counts import check_size
from cmo_tf.core.errors import UserError
from cmo_tf.core.types import Tensor
from cmo_tf.losses.base import LongTailLoss
from cmo_tf.losses.mixed import mixed_terms
from cmo_tf.losses.network_output import refuse_probabilities

# Arguments of LongTailClassifier that a saved model holds as they are.
PLAIN = ("learning", "shift_bn", "accumulation", "sam_rho", "sam_adaptive")


@keras.saving.register_keras_serializable(package="cmo_tf")
class LongTailClassifier(keras.Model):
    """Trains any image -> logits network on raw pixels with an optional mixer.

    For the TensorFlow backend of Keras only, as the program is: its training step is TensorFlow's. On JAX and PyTorch
    take the mixing layers, `losses.Mixed` and the callbacks with a keras.Model of your own.

    Args:
        network: keras.Model from normalised images to logits (B, C), or to a dict with `logits` for losses that need
            experts or features.
        mixer: a layer of cmo_tf.mixing, or None. It works on raw pixels, in the train step, on the device.
        preprocess: a layer from raw pixels to what the network expects, or None.
        learning: names of the layers of `network` that training changes; None: all. The others stay as they are but
            for the statistics of BatchNorm, which works on the batch as ever (PyTorch's `requires_grad = False`; Keras'
            `trainable = False` would stop it).
        shift_bn: False for a network that is called as in evaluation in training too: statistics stay.
        accumulation: micro-batches that a step is cut into, see `classifier.accumulate`.
        sam_rho: how far sharpness-aware minimisation climbs, see `classifier.sharpness`; 0 takes plain steps.
        sam_adaptive: climb each weight by its size (ASAM).

    `.network` is preprocess followed by the network as one plain model on raw pixels: save and export this one.

    The training loss is `lam * L(label) + (1 - lam) * L(label_q)`, each term with its own normaliser (paper Eq. 1,
    official code). Under a tf.distribute strategy each replica divides its numerators by the denominators summed over
    replicas, and Keras sums the gradients: one step equals that of a single device on the same global batch.

    Examples:
        >>> import numpy as np
        >>> from cmo_tf import CMO, losses, optim
        >>> network = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> model = LongTailClassifier(network, mixer=CMO(seed=0), preprocess=keras.layers.Rescaling(1 / 255))
        >>> model.compile(optim.SGD(0.1), losses.BalancedSoftmax([6, 2]))
        >>> images, labels = np.zeros((8, 4, 4, 1), "uint8"), np.repeat([0, 1], [6, 2])
        >>> history = model.fit(images, labels, batch_size=4, epochs=1, verbose=0)
        >>> model.network.predict(images, verbose=0).shape
        (8, 2)
    """

    def __init__(self, network: keras.Model, mixer: keras.layers.Layer | None = None,
                 preprocess: keras.layers.Layer | None = None, learning: Sequence[str] | None = None,
                 shift_bn: bool = True, accumulation: int = 1, sam_rho: float = 0.0, sam_adaptive: bool = False,
                 **kwargs):
        super().__init__(**kwargs)
        self.accumulation = int(accumulation)
        self.learning, self.shift_bn = None if learning is None else tuple(learning), bool(shift_bn)
        fuse(network)
        self.network = network if preprocess is None else chain(preprocess, network)
        self.mixer = mixer
        self._parts = {"network": network, "preprocess": preprocess}
        self.sam_rho, self.sam_adaptive = float(sam_rho), bool(sam_adaptive)
        if self.sam_rho:
            self.rho = self.add_weight(shape=(), initializer=keras.initializers.Constant(self.sam_rho), dtype="float32",
                                       trainable=False, autocast=False, name="rho")
        if self.network.built:
            self.built = True

    @property
    def inner(self) -> keras.Model:
        """The given network, from normalised images to logits: what a later stage goes on with."""
        return self._parts["network"]

    @property
    def num_classes(self) -> int:
        """C of the network's logits."""
        return classes_of(self.network)

    @property
    def trainable_variables(self):
        """What training changes: all trainable variables, or those of the layers in `learning`."""
        return self._learned(super().trainable_variables)

    @property
    def trainable_weights(self):
        return self._learned(super().trainable_weights)

    def _learned(self, variables):
        if self.learning is None:
            return variables
        wanted = {id(v) for name in self.learning for v in self.inner.get_layer(name).trainable_variables}
        return [v for v in variables if id(v) in wanted]

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Logits of raw images (B,H,W,C), or of the `image` of a batch dict."""
        images = inputs["image"] if isinstance(inputs, dict) else inputs
        return self.network(images, training=training if self.shift_bn else False)

    def compile(self, optimizer: object = "rmsprop", loss: LongTailLoss | None = None, **kwargs) -> None:
        """As keras.Model.compile, with a loss of cmo_tf.losses, whose class weights are created here."""
        if not isinstance(loss, LongTailLoss):
            raise UserError(f"compile(loss={loss!r}): a loss of cmo_tf.losses is needed, such as "
                            "cmo_tf.losses.CrossEntropy(); Mixed is for plain keras models")
        refuse_probabilities(self.network)
        for argument in ("metrics", "weighted_metrics"):
            check_metrics(kwargs.get(argument), argument)
        if self.network.built:
            with self.distribute_strategy.scope():
                loss_state.build(loss, self.network, self.num_classes)
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    def fit(self, x: Tensor = None, y: Tensor = None, batch_size: int | None = None, epochs: int = 1,
            steps_per_epoch: int | None = None, **kwargs) -> keras.callbacks.History:
        """As keras.Model.fit. With a mixer that needs foregrounds, arrays are turned into a `train_stream`, whose Q is
        drawn by index with weights 1/n; its seed, probability and alpha are those of the mixer. A tf.data.Dataset of
        (image, label), batched or not, gets its foregrounds by `minority_stream`.

        Labels are integers or exact one-hot rows. `class_weight` multiplies the loss's class weights during the call;
        `validation_split` is Keras' rule: the last images, before any shuffling.
        """
        weights = fit_data.class_weight_in(self.loss, kwargs.pop("class_weight", None), kwargs.get("callbacks"))
        with weights, in_one_line("fit"):
            arguments = fit_data.fit_arguments(self, x=x, y=y, batch_size=batch_size, steps_per_epoch=steps_per_epoch,
                                               **kwargs)
            return super().fit(epochs=epochs, **arguments)

    def evaluate(self, x: Tensor = None, y: Tensor = None, batch_size: int | None = None, **kwargs) -> object:
        """As keras.Model.evaluate; labels are integers or exact one-hot rows."""
        check_size("evaluate: batch_size", batch_size)
        of_fit = kwargs.get("_use_cached_eval_dataset", False)  # whose labels are checked already
        if y is not None and not of_fit:
            y = integer_labels(y, self.num_classes, "evaluate: y")
        with in_one_line("fit" if of_fit else "evaluate"):
            return super().evaluate(x, y, batch_size=batch_size, **kwargs)

    def train_step(self, data):
        """One step on a batch dict, (x, y) or (x, y, sample_weight)."""
        batch, sample_weight = batch_of(data, self.num_classes)
        mixed = self._mix(batch)

        def compute():
            if self.accumulation > 1:
                return accumulate.gradients(self, mixed, sample_weight, self.accumulation)
            return self._gradients(mixed, sample_weight)
        gradients, outputs, share = sharpness.gradients(self, compute) if self.sam_rho else compute()
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return self._logs(batch, outputs, tf.stop_gradient(share), sample_weight)

    def _gradients(self, mixed, sample_weight, denominators=None, parts=1):
        """(gradients, outputs of the real rows, this replica's share of the loss) of a mixed batch, or of one of its
        `parts` with the denominators of all."""
        with tf.GradientTape() as tape:
            mixed, outputs, sample_weight = real_rows(mixed, self._forward(mixed), sample_weight)
            loss_state.observe(self, mixed, outputs)
            share = self._share(mixed, outputs, sample_weight, denominators)
            loss = share
            if self.losses:
                loss += tf.add_n(self.losses) / (self.distribute_strategy.num_replicas_in_sync * parts)
            scaled = self.optimizer.scale_loss(loss)
        return tape.gradient(scaled, self.trainable_weights), outputs, share

    def test_step(self, data):
        """Loss and metrics on plain (x, y) or the P side of a batch dict, unmixed."""
        batch, sample_weight = batch_of(data, self.num_classes)
        outputs = self(batch["image"], training=False)
        mixed, outputs, weights = real_rows({**batch, **unmixed(batch)}, outputs, sample_weight)
        share = self._share(mixed, outputs, weights)
        return self._logs(batch, outputs, share, sample_weight)

    def predict_step(self, data):
        """Logits (or the network's dict) of images, (x, y) or a batch dict."""
        data = data[0] if isinstance(data, (tuple, list)) else data
        return self(data, training=False)

    def prepared(self, images):
        """Raw images as the inner network takes them."""
        return images if self._parts["preprocess"] is None else self._parts["preprocess"](images)

    def _forward(self, mixed):
        """Outputs of the network for a mixed batch, in training."""
        return self(mixed["image"], training=True)

    def _mix(self, batch):
        if self.mixer is None:
            return {**batch, **unmixed(batch)}
        kept = {k: batch[k] for k in ("real",) if k in batch}
        if self.mixer.needs_q and "image_q" not in batch:
            raise UserError(f"fit: the mixer {type(self.mixer).__name__} needs foregrounds; pass a "
                            "cmo_tf.pipeline.train_stream (or plain arrays x and y) instead of a data set of pairs")
        return {**self.mixer(batch, training=True), **kept}

    def _share(self, mixed, outputs, sample_weight, denominators=None):
        """This replica's share of the loss: local numerators over denominators of all replicas."""
        terms = self._terms(mixed, outputs, sample_weight)
        if denominators is None:
            denominators = [over_replicas(den) for _, den in terms]
        return tf.add_n([tf.math.divide_no_nan(num, den)
                         for (num, _), den in zip(terms, denominators, strict=True)])

    def _terms(self, mixed, outputs, sample_weight):
        """(numerator, denominator) of each part of the loss, over the rows of this replica."""
        outputs = loss_state.with_kernel(self, outputs)
        labels = mixed["label"], mixed["label_q"]
        statistics = [{name: over_replicas(value, self.loss.reductions.get(name, "sum"))
                       for name, value in self.loss.statistics(y, outputs).items()} for y in labels]
        terms = mixed_terms(self.loss, *labels, mixed["lam"], outputs, sample_weight, statistics)
        if getattr(self.mixer, "batch_mean", False):
            rows = tf.cast(tf.shape(mixed["image"])[0], tf.float32)
            terms = [(num, rows) for num, _ in terms]
        return terms

    def _logs(self, batch, outputs, share, sample_weight):
        logits = outputs["logits"] if isinstance(outputs, dict) else outputs
        batch, _, sample_weight = real_rows(batch, {}, sample_weight)
        # The same numbers on all replicas, so that a checkpoint inside an epoch, which holds their sum, is exact.
        loss, rows = tf.unstack(over_replicas(tf.stack([share, tf.cast(tf.shape(logits)[0], tf.float32)])))
        self._loss_tracker.update_state(loss, sample_weight=rows)
        logs = self.compute_metrics(batch["image"], batch["label"], logits, sample_weight)
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            # Keras takes their mean over the workers along an axis 0.
            logs = {name: tf.reshape(value, [1]) for name, value in logs.items()}
        return logs

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Keras would average a batch over the replicas here, which fails where the batch does not divide."""
        if self._distribute_strategy is not None:
            with self.distribute_strategy.scope():
                self._symbolic_build()

    def _symbolic_build(self, iterator=None, data_batch=None):
        """Builds optimizer and metrics before the first step. Keras would trace a batch, and sees no label in dicts."""
        if not self.network.built:
            raise UserError("fit: under a distribution strategy the network must be built; give it an input shape")
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        if self._compile_metrics is not None and not self._compile_metrics.built:
            classes = classes_of(self.network)
            self._compile_metrics.build(keras.KerasTensor((1,), "int32"), keras.KerasTensor((1, classes), "float32"))
        self.built = True

    def export(self, filepath: str, *args, **kwargs) -> None:
        """As keras.Model.export, of `.network`: no mixer is in it, and it may be called before any training."""
        self.network.export(filepath, *args, **kwargs)

    def save(self, filepath: str, *args, **kwargs) -> None:
        """As keras.Model.save, in Keras' own format; a .h5 file could not be read again."""
        if str(filepath).endswith((".h5", ".hdf5")) and not str(filepath).endswith(".weights.h5"):
            raise UserError(f"save: {filepath}: a LongTailClassifier does not fit the older HDF5 format; write a "
                            ".keras file, or save_weights to a .weights.h5 file")
        super().save(filepath, *args, **kwargs)

    def compile_from_config(self, config):
        """As Keras does, which refuses by itself where `compile` is overridden."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def get_config(self):
        parts = {**self._parts, "mixer": self.mixer}
        return {**{k: v and keras.saving.serialize_keras_object(v) for k, v in parts.items()}, "name": self.name,
                **{name: getattr(self, name) for name in PLAIN}}

    @classmethod
    def from_config(cls, config):
        return cls(**{k: v if k in ("name", *PLAIN) or not v else keras.saving.deserialize_keras_object(v)
                      for k, v in config.items()})
