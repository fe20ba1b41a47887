"""A network as LongTailClassifier holds it: behind its preprocessing, and how many classes its logits have."""

import keras


def chain(preprocess, network):
    """One plain model from raw pixels to what the network gives."""
    if not network.built:
        return keras.Sequential([preprocess, network], name=network.name)
    # Raw pixels may come as uint8 or float: a float32 input takes both without loss.
    inputs = keras.Input(network.input_shape[1:], dtype="float32", name="image")
    return keras.Model(inputs, network(preprocess(inputs)), name=network.name)


def classes_of(network):
    """C of logits (B, C), given as they are or in a dict."""
    # Not output_shape, which forgets the names of a dict.
    shape = network.compute_output_shape(network.input_shape)
    return (shape["logits"] if isinstance(shape, dict) else shape)[-1]
