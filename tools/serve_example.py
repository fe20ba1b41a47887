"""Classifies pictures with an exported model, without cmo_tf: `python tools/serve_example.py EXPORT_FOLDER PICTURE...`

A SavedModel needs tensorflow, ONNX onnxruntime, LiteRT ai-edge-litert; beside them numpy and Pillow. Copy what you
need.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


def read(path, square: int, crop: int, channels: int, bits: int) -> np.ndarray:
    """float32 (crop, crop, channels) of 0 to 255: upright, centre square brought to `square`, centre of that. Of grey
    pictures with 16 bits the upper 8 of `bits` are taken; Pillow reads colours of 16 bits as if they held all 16."""
    picture = ImageOps.exif_transpose(Image.open(path))
    if picture.mode.startswith("I"):
        picture = Image.fromarray((np.asarray(picture).astype(np.int64) >> (bits - 8)).clip(0, 255).astype(np.uint8))
    picture = on_white(picture).convert("RGB" if channels == 3 else "L")
    side, (width, height) = min(picture.size), picture.size
    left, top, edge = (width - side) / 2, (height - side) / 2, (square - crop) // 2
    box = (left, top, left + side, top + side)
    pixels = np.asarray(picture.resize((square, square), Image.Resampling.BILINEAR, box=box), np.float32)
    return pixels.reshape(square, square, channels)[edge:edge + crop, edge:edge + crop]


def on_white(picture):
    """The picture with its transparent parts white."""
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return picture
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)


def saved_model(path):
    """Function images (B,H,W,C) -> probabilities (B, classes) of a SavedModel."""
    import tensorflow as tf
    model = tf.saved_model.load(str(path))
    return lambda images: model.signatures["serving_default"](image=tf.constant(images))["probabilities"].numpy()


def onnx(path):
    """The same of an ONNX file."""
    import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run(["probabilities"], {"image": images})[0]


def litert(path):
    """The same of a LiteRT file, which takes one image at a time."""
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    run = interpreter.get_signature_runner("serving_default")
    return lambda images: np.concatenate([run(image=image[None])["probabilities"].copy() for image in images])


LOADERS = {"savedmodel": saved_model, "onnx": onnx, "litert": litert, "litert_int8": litert}


def main(arguments=None) -> int:
    """Prints path, class and probability of each picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what --mode=export wrote")
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--format", choices=LOADERS, help="default: the first of them that is there")
    given = parser.parse_args(arguments)
    about = json.loads((given.folder / "export.json").read_text(encoding="utf-8"))
    name = given.format or next((name for name in LOADERS if name in about["formats"]), None)
    if name not in about["formats"]:
        parser.error(f"{given.folder} holds {', '.join(about['formats'])}; export to another format first")
    classify = LOADERS[name](given.folder / about["formats"][name]["file"])
    reading = about["reading"]
    size = (reading["centre_square_resized_to"], reading["centre_crop"], about["input"]["shape"][3],
            reading.get("bits_of_16_bit_pictures", 16))
    probabilities = classify(np.stack([read(path, *size) for path in given.pictures]))
    for path, row in zip(given.pictures, probabilities, strict=True):
        best = int(row.argmax())
        print(f"{path}: {about['class_names'][best]} ({row[best]:.1%})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
