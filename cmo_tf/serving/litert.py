"""`--format=litert` and `litert_int8`: .tflite files for phones and small machines (LiteRT, once TensorFlow Lite)."""

import os
import tempfile

import numpy as np
import tensorflow as tf

from cmo_tf.core.errors import UserError
from cmo_tf.pipeline import eval_batches
from cmo_tf.run import classes
from cmo_tf.serving.quiet import converting
from cmo_tf.serving.savedmodel import save, whole

FILE, FILE_INT8 = "model.tflite", "model_int8.tflite"
# Training images that show the converter how large activations get.
REPRESENTATIVE = 200


def write(served, folder: str, data):
    """Writes FILE, float32 for one image at a time, with classes.json behind it (see `classes.attach`). Returns its
    name and a function from images to its outputs."""
    return _write("litert", FILE, served, folder, None)


def write_int8(served, folder: str, data):
    """The same with weights and activations in 8 bits, inputs and outputs still float32; the ranges are those of
    REPRESENTATIVE training images, of all classes in turn."""
    rows = in_turn(data.train.labels)
    if data.train.images.dtype.kind == "U":  # some of a folder's pictures may be gone since the training
        rows = rows[[os.path.exists(path) for path in data.train.images[rows]]]
        if not rows.size:
            raise UserError(f"--format=litert_int8: no training picture of {served.config.dataset} is there any more; "
                            "put some back, or take --format=litert")
    rows = rows[:REPRESENTATIVE]
    images = np.concatenate([batch.numpy() for batch in eval_batches(data.train.images[rows], size=data.size,
                                                                    decode=data.decode)])
    return _write("litert_int8", FILE_INT8, served, folder, images.astype(np.float32))


def in_turn(labels) -> np.ndarray:
    """Rows in an order that takes one image of every class, then a second one of every class that has it, ..."""
    labels = np.asarray(labels)
    order = np.argsort(labels, kind="stable")
    turn = np.arange(len(labels)) - np.searchsorted(labels[order], labels[order])
    return order[np.argsort(turn, kind="stable")]


def _write(name, file, served, folder, examples):
    path = os.path.join(folder, file)
    with converting(name), tempfile.TemporaryDirectory() as scratch:
        saved = os.path.join(scratch, "saved")
        save(saved, *whole(served), (1, *served.image_shape), served.class_names)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        if examples is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ({"image": row[None]} for row in examples)
        with open(path, "wb") as out:
            out.write(converter.convert())
    classes.attach(path, served.class_names)
    return file, _runner(path, name)


def _runner(path, name):
    from ai_edge_litert.interpreter import Interpreter
    with converting(name):
        interpreter = Interpreter(model_path=path)
        interpreter.allocate_tensors()
        run = interpreter.get_signature_runner("serving_default")

    def outputs(images):
        rows = [{key: value.copy() for key, value in run(image=image[None]).items()} for image in images]
        return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
    return outputs
