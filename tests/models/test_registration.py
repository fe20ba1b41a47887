"""`import cmo_tf` is light, and enough for `keras.models.load_model` to find our classes."""

import ast
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import cmo_tf
from cmo_tf.callbacks import DRW
from cmo_tf.core import serialization
from cmo_tf.losses import LDAM, Mixed
from cmo_tf.models import create
from cmo_tf.optim import SGD

ROOT = Path(cmo_tf.__file__).parent


def run(code):
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT.parent)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_import_is_light():
    code = "import sys, cmo_tf, cmo_tf.losses, cmo_tf.models, cmo_tf.callbacks\nprint(*sys.modules)"
    assert not {"tensorflow", "keras"} & set(run(code))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A trained network with our head, loss and optimiser, saved; and its logits of a fixed image."""
    path = tmp_path_factory.mktemp("registration") / "model.keras"
    network = create("resnet20", 3, input_shape=(8, 8, 1), head="normed", seed=0)
    network.compile(SGD(0.01, l2=1e-4), Mixed(LDAM([5, 3, 1])))
    x, y = np.ones((4, 8, 8, 1), "float32"), np.array([0, 1, 2, 0])
    network.fit(x, y, batch_size=4, verbose=0, callbacks=[DRW([5, 3, 1], 0)])
    network.save(path)
    return path, network(x[:1]).numpy()


@pytest.mark.parametrize(
    "imports",
    [
        "import cmo_tf, keras",
        "import keras, cmo_tf",
        "import cmo_tf, tensorflow as tf; keras = tf.keras; import keras",
        "import cmo_tf.losses.base, keras",  # our own module is what imports keras
    ],
)
def test_load_model_after_import_alone(saved, imports):
    path, logits = saved
    code = f"""{imports}
model = keras.models.load_model({str(path)!r})
import numpy
print(*model(numpy.ones((1, 8, 8, 1), "float32")).numpy()[0])
print(type(model.loss).__module__, type(model.optimizer).__module__, *model.loss.class_weights.numpy())
"""
    out = run(code)
    np.testing.assert_allclose([float(word) for word in out[:3]], logits[0], rtol=1e-5)
    assert out[3:5] == ["cmo_tf.losses.mixed", "cmo_tf.optim.sgd"]
    assert float(out[5]) < 1 < float(out[7])


def test_class_table_is_complete():
    decorated = {}
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any("register_keras" in ast.dump(d) for d in node.decorator_list):
                module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
                decorated[node.name] = module
    assert decorated == serialization.CLASSES


def test_install_twice_is_harmless():
    before = list(sys.meta_path)
    serialization.install()
    assert sys.meta_path == before
    name = "cmo_tf>SGD"
    assert keras.saving.get_registered_object(name) is SGD
