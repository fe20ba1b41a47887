"""Does an exported model give what the Keras model gives, on real images?"""

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.pipeline import eval_batches

IMAGES = 128
# Of logits, in parts of 1 + the largest one: what other orders of summation may do.
TOLERANCE = 1e-3
# int8 is coarse by design; below this share of equal classes it is called out.
INT8_AGREEMENT = 0.9


def images_of(data) -> tuple[np.ndarray, np.ndarray]:
    """float32 (n,H,W,C) raw test images, spread evenly over the split, and their labels; n is at most IMAGES."""
    rows = np.unique(np.linspace(0, len(data.test) - 1, IMAGES).astype(np.int64))
    batches = eval_batches(data.test.images[rows], size=data.size, decode=data.decode)
    return np.concatenate([batch.numpy() for batch in batches]).astype(np.float32), data.test.labels[rows]


def compare(name: str, expected: dict, found: dict, labels) -> dict:
    """What is written into export.json of a format.

    Args:
        name: of the format.
        expected, found: outputs of the Keras model and of the exported one, with `logits` and `probabilities` (n,C).
        labels: (n,).

    Returns:
        {images, max_difference_logits, max_difference_probabilities, same_class, accuracy, keras_accuracy}, the last
        two in percent of these images.

    Raises:
        UserError: a format other than int8 differs by more than rounding.
    """
    found = {key: np.asarray(found[key]) for key in expected}
    apart = {key: float(np.abs(found[key] - value).max()) for key, value in expected.items()}
    same = int(np.sum(found["logits"].argmax(1) == expected["logits"].argmax(1)))
    allowed = TOLERANCE * (1.0 + float(np.abs(expected["logits"]).max()))
    if not name.endswith("int8") and not apart["logits"] <= allowed:
        raise UserError(f"--format={name}: its logits differ from those of model.keras by up to "
                        f"{apart['logits']:.2g} on {len(labels)} test images; nothing was written; take another format")
    return {"images": len(labels), "max_difference_logits": apart["logits"],
            "max_difference_probabilities": apart["probabilities"], "same_class": same,
            **{f"{prefix}accuracy": round(100.0 * float(np.mean(outputs["logits"].argmax(1) == labels)), 2)
               for prefix, outputs in (("", found), ("keras_", expected))}}


def line(name: str, check: dict, size: int) -> str:
    """The check in a line for the user."""
    text = (f"{name}: largest difference to model.keras on {check['images']} test images "
            f"{check['max_difference_logits']:.2g} in logits, {check['max_difference_probabilities']:.2g} in "
            f"probabilities; same class on {check['same_class']} of {check['images']}; {size / 2**20:.2f} MiB")
    if check["same_class"] < INT8_AGREEMENT * check["images"]:
        text += (f"; WARNING: that is few, accuracy on them {check['accuracy']:.2f} instead of "
                 f"{check['keras_accuracy']:.2f}")
    return text
