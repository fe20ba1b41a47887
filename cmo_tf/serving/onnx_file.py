"""`--format=onnx`: one .onnx file, for ONNX Runtime and what else reads it."""

import json
import os

import numpy as np

from cmo_tf.serving.quiet import converting

FILE = "model.onnx"


def write(served, folder: str, data):
    """Writes FILE, class names in its metadata. Returns its name and a function from images to its outputs."""
    path = os.path.join(folder, FILE)
    with converting("onnx"):
        classifier = served.classifier()
        classifier(np.zeros((1, *served.image_shape), np.float32))  # Keras exports only what has been called
        classifier.export(path, format="onnx", verbose=False)
        _describe(path, served)
        import onnxruntime
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return FILE, lambda images: dict(zip(names, session.run(names, {"image": images}), strict=True))


def _describe(path, served):
    """Gives the outputs their names, the batch its own, and adds the class names; then has the file checked."""
    import onnx
    model = onnx.load(path)
    # Keras passes a dict's values in the order of its keys, and tf2onnx numbers them.
    for output, name in zip(model.graph.output, ("logits", "probabilities"), strict=True):
        for node in model.graph.node:
            node.input[:] = [name if value == output.name else value for value in node.input]
            node.output[:] = [name if value == output.name else value for value in node.output]
        output.name = name
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.helper.set_model_props(model, {
        "class_names": json.dumps(list(served.class_names)), "input": "image, float32, 0 to 255",
        "image_shape": json.dumps(served.image_shape)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
