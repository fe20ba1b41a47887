"""`--format=keras`: one .keras file, for `keras.models.load_model` after `import cmo_tf`."""

import os

from cmo_tf.models.weights import saved_file
from cmo_tf.run import classes

FILE = "model.keras"


def write(served, folder: str, data):
    """Writes FILE with the class names inside. Returns its name and a function from images to its outputs."""
    path = os.path.join(folder, FILE)
    served.classifier().save(path)
    classes.attach(path, served.class_names)
    return FILE, saved_file.load(path)
