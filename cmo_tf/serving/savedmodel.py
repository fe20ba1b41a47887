"""`--format=savedmodel`: for TensorFlow Serving, `tf.saved_model.load` and everything else of TensorFlow."""

import os

import tensorflow as tf

from cmo_tf.methods.early_exit import EarlyExit
from cmo_tf.run import classes

FOLDER = "saved_model"


def write(served, folder: str, data):
    """Writes FOLDER with the class names as its asset. Returns its name and a function from images to its outputs.

    Images of a network with a router leave it as soon as the router says so, and `experts_used` (B,) says when.
    """
    path = os.path.join(folder, FOLDER)
    function, variables = (early(served) if served.routed else whole(served))
    save(path, function, variables, (None, *served.image_shape), served.class_names)
    loaded = tf.saved_model.load(path)
    # The signature is only alive while the loaded object is.
    return FOLDER, lambda images: loaded.signatures["serving_default"](image=tf.constant(images))


def whole(served):
    """(function images -> outputs, variables) of the classifier as it is."""
    classifier = served.classifier()
    return lambda image: classifier(image, training=False), [v.value for v in classifier.variables]


def early(served):
    """The same with a router that saves what it can."""
    classify = EarlyExit(served.network)

    def function(image):
        logits, used = classify(image)
        return {"logits": logits, "probabilities": tf.nn.softmax(served.scale * logits + served.offset),
                "experts_used": used}
    return function, [v.value for v in served.network.variables]


def save(path, function, variables, shape, class_names) -> None:
    """A SavedModel of a function of `image`, float32 of `shape`, with classes.json among its assets."""
    module = tf.Module()
    module.kept = variables
    module.serve = tf.function(function, input_signature=[tf.TensorSpec(shape, tf.float32, name="image")])
    names = os.path.join(os.path.dirname(path), classes.FILE)
    if not os.path.exists(names):
        with open(names, "wb") as file:
            file.write(classes.as_json(class_names).encode("utf-8", "backslashreplace"))
    module.class_names = tf.saved_model.Asset(names)
    tf.saved_model.save(module, path, signatures={"serving_default": module.serve})
