"""A finished run, ready to classify: raw pixels in, logits and probabilities out, with the names of the classes."""

import dataclasses
import os

import keras
import numpy as np

from cmo_tf.classifier import build
from cmo_tf.core.errors import UserError
from cmo_tf.models.weights import saved_file
from cmo_tf.report.results import read_results
from cmo_tf.run import calibration, classes, stages

ROUTER = "expert_help_pred_fc"


@dataclasses.dataclass(frozen=True)
class Served:
    """What a run folder holds for classifying.

    Attributes:
        run_dir: the folder.
        config: the run's Config, that of its last stage.
        results: of results.json.
        class_names: C names, in label order.
        network: as trained: float32 images (B,H,W,C) of 0..255 -> logits (B,C), or a dict with them.
        scale, offset: probabilities are `softmax(scale * logits + offset)`: the loss's scale (30 for LDAM's cosines),
            and float32 (C,) or 0.0 by `--test_prior`; both divided by the temperature of `--calibrate`.
    """

    run_dir: str
    config: object
    results: dict
    class_names: tuple[str, ...]
    network: keras.Model
    scale: float
    offset: object

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) that the network takes."""
        return tuple(self.network.input_shape[1:])

    @property
    def routed(self) -> bool:
        """Whether the network has a router that lets images exit early (RIDE)."""
        inner = [layer for layer in self.network.layers if isinstance(layer, keras.Model)]
        return any(layer.name == ROUTER for model in (self.network, *inner) for layer in model.layers)

    def classifier(self) -> keras.Model:
        """The network with two outputs, both float32 (B,C): `logits`, as the network gives them, and
        `probabilities`. It shares the network's weights."""
        image = keras.Input(self.image_shape, dtype="float32", name="image")
        outputs = self.network(image)
        logits = outputs["logits"] if isinstance(outputs, dict) else outputs
        logits = keras.layers.Activation("linear", dtype="float32", name="logits")(logits)
        offset = np.asarray(self.offset, np.float32).tolist()
        scaled = keras.layers.Rescaling(self.scale, offset, dtype="float32", name="to_test_prior")(logits)
        probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(scaled)
        return keras.Model(image, {"logits": logits, "probabilities": probabilities}, name="classifier")

    def in_float32(self) -> "Served":
        """The same with a network that computes in float32 if it was trained in another precision."""
        text = self.network.to_json()
        plain = text.replace("mixed_bfloat16", "float32").replace("mixed_float16", "float32")
        if plain == text:
            return self
        network = keras.models.model_from_json(plain)
        network.set_weights(self.network.get_weights())
        return dataclasses.replace(self, network=network)


def load(run_dir: str, config) -> Served:
    """The Served of a run folder, for which the data set need not be there.

    Args:
        config: the run's Config (`run.folder.read_config`), with its own `--test_prior` where one is asked for.

    Raises:
        UserError: no finished run is there, or its files do not go together.
    """
    path = os.path.join(run_dir, "model.keras")
    if not os.path.exists(path):
        raise UserError(f"--run_dir={run_dir}: no model.keras there; let the run finish first")
    network = saved_file.load(path)
    results, names = read_results(run_dir), classes.read(run_dir)
    counts = np.asarray(results["class_counts"])
    outputs = network.compute_output_shape(network.input_shape)
    wide = (outputs["logits"] if isinstance(outputs, dict) else outputs)[-1]
    if not wide == len(names) == len(counts):
        raise UserError(f"--run_dir={run_dir}: model.keras knows {wide} classes and {len(names)} names, results.json "
                        f"{len(counts)}; they are not of one run")
    alone = dataclasses.replace(config, strategy="none", num_devices=0, sync_bn=False, worker_hosts=None,
                                worker_index=None)
    # The loss of the last stage says what logits mean.
    config = stages.legs(alone, int(counts.sum()))[-1].config
    evaluator = build.evaluator(config, counts, network, build.loss(config, counts))
    calibration.apply(config, evaluator, results)
    return Served(run_dir, config, results, names, network, float(evaluator.scale),
                  np.float32(evaluator.scale) * evaluator.offset)
