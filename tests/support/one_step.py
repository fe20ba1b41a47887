"""One training step of a small run, as arrays: `python tests/support/one_step.py FILE.npz` in any environment."""

import sys
from pathlib import Path

import numpy as np


def one_step() -> dict[str, np.ndarray]:
    """Logits of the first batch before a step of CE + CMO on the digits, its loss, and the weights after it."""
    import keras

    from cmo_tf.classifier import build
    from cmo_tf.methods import METHODS
    from cmo_tf.methods.stage import stages_of
    from cmo_tf.run.timeline import Timeline
    from tests.support.method_runs import settings
    config, data = settings("ce", "--model=resnet20", "--mix=cmo", "--probability=1", "--mix_skip_first=0")
    stage = stages_of(METHODS[config.method], config)[0]
    model = stage.classifier(build, config, data, None)
    logits = model.network(data.train.images[:14].astype("float32"), training=False)
    stream = stage.stream(build, config, data, Timeline(config, 5), 0)
    loss = model.fit(stream, steps_per_epoch=1, verbose=0).history["loss"]
    return {"logits": keras.ops.convert_to_numpy(logits), "loss": np.asarray(loss),
            **{str(i): w.numpy() for i, w in enumerate(model.weights)}}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from cmo_tf.main import import_tensorflow
    import_tensorflow()
    np.savez(sys.argv[1], **one_step())
