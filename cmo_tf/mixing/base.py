"""What every mixer is: a Keras layer from a batch with two label sets to mixed images and their label share."""

import keras
from keras import ops

from cmo_tf.core.errors import UserError
from cmo_tf.core.types import Batch


class Mixer(keras.layers.Layer):
    """Base of the mixing layers.

    A batch is a dict of `image` (B,H,W,C) and `label` (B,), with foregrounds `image_q` and `label_q` of the same shapes
    where the mixer has a partner, and optionally the plan columns `lam` (B,) and `box` (B,4) of the pipeline. The
    result is a dict of `image`, `label`, `label_q` and `lam` float32 (B,): the training loss is
    `lam * L(label) + (1 - lam) * L(label_q)`.

    Attributes (of the class):
        canvas: what `image` is drawn from, "p" or "q".
        partner: what `image_q` is drawn from: "q", "p", "permuted" (other rows of the batch), or None.
        plan: "box", lam is the pixels that a box leaves; "blend", lam as drawn.
        batch_mean: the loss divides by the rows of the batch whatever the class weights.
        active: non-trainable float32 scalar; 0 switches mixing off, also after tracing (see callbacks.MixWindow).
    """

    canvas: str = "p"
    partner: str | None = None
    plan: str = "box"
    batch_mean: bool = False

    def __init__(self, **kwargs):
        kwargs.setdefault("dtype", "float32")
        # Labels, boxes and lam must keep their dtype and digits under mixed precision.
        super().__init__(autocast=False, **kwargs)
        self.active = self.add_weight(shape=(), initializer="ones", trainable=False, dtype="float32", name="active")
        self.built = True

    @property
    def needs_q(self) -> bool:
        """Whether a batch must bring foregrounds."""
        return self.partner in ("p", "q")

    @classmethod
    def from_options(cls, *, class_counts=None, **_):
        """The layer from the program's flags and class counts, of which each mixer picks its own."""
        return cls()

    def __call__(self, batch: Batch, *args, **kwargs) -> Batch:
        """As keras.layers.Layer; a tensor, as from a layer before it in a Sequential, is refused."""
        if not isinstance(batch, dict):
            name = type(self).__name__
            raise UserError(f"{name}: takes a dict of image, label and their partners, not images alone, because it "
                            "mixes labels too. Leave it out of the network: LongTailClassifier(network, "
                            f"mixer={name}(...)), or dataset.map(lambda batch: CMO.pack(mixer(batch, training=True)))")
        return super().__call__(batch, *args, **kwargs)

    def compute_output_spec(self, batch, training=None):
        """Shapes and dtypes of the result."""
        spec = {name: keras.KerasTensor(batch[name].shape, batch[name].dtype) for name in ("image", "label")}
        label_q = batch.get("label_q", batch["label"])
        return {**spec, "label_q": keras.KerasTensor(label_q.shape, label_q.dtype),
                "lam": keras.KerasTensor(batch["image"].shape[:1], "float32")}


@keras.saving.register_keras_serializable(package="cmo_tf")
class Unmixed(Mixer):
    """`--mix=none`: images as they are, lam 1."""

    def call(self, batch: Batch, training: bool | None = None) -> Batch:
        image, label = batch["image"], batch["label"]
        return {"image": image, "label": label, "label_q": batch.get("label_q", label),
                "lam": ops.ones((ops.shape(image)[0],), "float32")}


class PlannedMixer(Mixer):
    """A mixer with a plan (coin, lam, place), drawn by the pipeline or, where a batch has no plan columns, by itself.

    Args:
        alpha: parameter of the symmetric Beta distribution of lam, > 0; 1 is uniform.
        probability: of mixing a batch, in [0, 1].
        per_image: draw a plan for each row instead of one for the whole batch.
        seed: int or None, of the layer's own draws.
    """

    def __init__(self, alpha: float = 1.0, probability: float = 0.5, per_image: bool = False, seed: int | None = None,
                 **kwargs):
        if not alpha > 0:
            raise UserError(f"--alpha={alpha}: the Beta distribution needs a positive parameter")
        if not 0 <= probability <= 1:
            raise UserError(f"--probability={probability} is not in [0, 1]")
        super().__init__(**kwargs)
        self.alpha, self.probability, self.per_image = float(alpha), float(probability), bool(per_image)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        # Beta(1, 1) is uniform and compiles; gamma variates do not under XLA.
        self.supports_jit = self.alpha == 1.0

    @classmethod
    def from_options(cls, *, alpha=1.0, probability=0.5, per_image=False, seed=None, **_):
        return cls(alpha=alpha, probability=probability, per_image=per_image, seed=seed)

    def call(self, batch: Batch, training: bool | None = None) -> Batch:
        batch = self._with_partner(batch)
        if not training:
            return self._result(batch, batch["image"], ops.ones((ops.shape(batch["image"])[0],), "float32"))
        return self.mix(batch)

    def mix(self, batch: Batch) -> Batch:
        """The mixed batch."""
        raise NotImplementedError

    def _with_partner(self, batch):
        missing = [k for k in ("image", "label", "image_q", "label_q") if k not in batch]
        if missing and self.partner == "permuted" and "image" in batch and "label" in batch:
            order = keras.random.shuffle(ops.arange(ops.shape(batch["image"])[0]), seed=self.seed_generator)
            return {**batch, "image_q": ops.take(batch["image"], order, axis=0),
                    "label_q": ops.take(batch["label"], order, axis=0)}
        if missing:
            raise UserError(f"{type(self).__name__}: the batch has no {', '.join(missing)}; "
                            "cmo_tf.pipeline.train_stream gives all of them")
        return batch

    @staticmethod
    def _result(batch, image, lam):
        return {"image": image, "label": batch["label"], "label_q": batch["label_q"], "lam": lam}

    def _draws(self, rows):
        """Shape of the layer's own draws: one a row, or one for the batch."""
        return (rows,) if self.per_image else (1,)

    def _uniform(self, shape):
        return keras.random.uniform(shape, seed=self.seed_generator, dtype="float32")

    def _coin(self, shape):
        return ops.cast(self._uniform(shape) < self.probability, "float32")

    def _lam(self, shape):
        if self.alpha == 1.0:
            return self._uniform(shape)
        # Gamma(a) = Gamma(a + 1) * U^(1/a) in logarithms: keras.random.beta is NaN where both gammas underflow.
        def log_gamma():
            variate = keras.random.gamma(shape, self.alpha + 1.0, dtype="float32", seed=self.seed_generator)
            return ops.log(variate) + ops.log(ops.maximum(self._uniform(shape), 1e-37)) / self.alpha
        return ops.sigmoid(log_gamma() - log_gamma())

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "probability": self.probability,
                "per_image": self.per_image, "seed": self.seed}
