"""Measures the decode path for large pictures against plain tf.data pipelines of the same files, in alternating rounds.

    python tools/maintain/benchmark_decode.py [--data_dir=DIR] [--images=512 --batch_size=64 --rounds=7] [--json=FILE]

The files are the first of the JPEGs below --data_dir; without it, JPEGs of 300 to 640 pixels a side are made of
scikit-learn's photographs. All sides read a file, bring it to 224x224 and flip half of them; ours draws a random
resized crop from its headers, decodes that part alone and resizes it with antialiasing. Every round takes each side
once, in turn; ratios are medians of the rounds'.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a checkout that is not installed

from cmo_tf.core.errors import UserError  # noqa: E402

SIDE, PLAIN, OURS = 224, "decode_jpeg + resize", "random resized crop"


def make_files(folder, number) -> list[str]:
    """JPEGs of mixed sizes, parts of two photographs."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_images
    random, photos, paths = np.random.RandomState(0), load_sample_images().images, []
    for k in range(number):
        photo = photos[k % len(photos)]
        height, width = random.randint(300, photo.shape[0] + 1), random.randint(300, photo.shape[1] + 1)
        top, left = random.randint(photo.shape[0] - height + 1), random.randint(photo.shape[1] - width + 1)
        paths.append(os.path.join(folder, f"{k}.jpg"))
        Image.fromarray(photo[top:top + height, left:left + width]).save(paths[-1], quality=90)
    return paths


def find_files(folder, number) -> list[str]:
    """The first JPEGs below a folder."""
    paths = []
    for path in Path(folder).expanduser().rglob("*"):
        if path.suffix.lower() in (".jpg", ".jpeg"):
            paths.append(str(path))
            if len(paths) == number:
                return paths
    raise UserError(f"--data_dir={folder}: has {len(paths)} JPEGs, --images={number} are wanted")


def make_sides(paths, batch_size):
    """Name -> endless tf.data.Dataset of batches."""
    import numpy as np
    import tensorflow as tf

    from cmo_tf.pipeline import train_stream
    from cmo_tf.pipeline.pictures import Pictures
    labels = np.zeros(len(paths), np.int64)

    def plain(antialias, resize=True):
        def read(path):
            image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
            return tf.image.random_flip_left_right(tf.image.resize(image, (SIDE, SIDE), antialias=antialias))
        data = tf.data.Dataset.from_tensor_slices(paths).repeat()
        return data.map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size).prefetch(tf.data.AUTOTUNE)

    def ours(augment):
        return train_stream(np.array(paths), labels, batch_size=batch_size, seed=0, probability=0.0,
                            decode=Pictures(round(SIDE * 8 / 7)), augment=_policy(augment), drop_remainder=True)

    return {PLAIN: plain(False), f"{PLAIN}, antialias": plain(True), OURS: ours("resized_crop_flip"),
            f"{OURS}, colour jitter": ours("crop_jitter")}


def _policy(name):
    from cmo_tf import augment
    return augment.create(name, (SIDE, SIDE))


def measure(sides, batch_size, rounds, batches):
    """{name: [images per second of each round]}. Each stretch has an iterator of its own: one that is left open would
    go on decoding while the others are measured."""
    found = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, data in sides.items():
            stream = iter(data)
            next(stream)  # starts it
            began = time.perf_counter()
            for _ in range(batches):
                next(stream)
            if number:
                found[name].append(batches * batch_size / (time.perf_counter() - began))
            del stream
        print(f"round {number}/{rounds}" if number else "warm-up done", file=sys.stderr, flush=True)
    return found


def summary(found) -> dict:
    """Medians, spreads and the ratios to the plain pipeline, as a plain dict."""
    rows = {name: {"median": round(statistics.median(v), 1), "low": round(min(v), 1), "high": round(max(v), 1)}
            for name, v in found.items()}
    ratios = {name: round(statistics.median(a / b for a, b in zip(v, found[PLAIN], strict=True)), 3)
              for name, v in found.items()}
    return {"images_per_second": rows, "over_plain": ratios, "cores": os.cpu_count()}


def main(arguments=None) -> int:
    """The command line."""
    values = flags.FlagValues()
    flags.DEFINE_string("data_dir", None, "folder of JPEGs; default made ones", flag_values=values)
    flags.DEFINE_integer("images", 512, "files", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("batch_size", 64, "images a batch", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("rounds", 7, "measured rounds", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("batches", 16, "batches of a side in a round", lower_bound=1, flag_values=values)
    flags.DEFINE_string("json", None, "also write the figures to this file", flag_values=values)
    try:
        values([__file__, *(sys.argv[1:] if arguments is None else arguments)])
        if values.batch_size > values.images:
            raise UserError(f"--batch_size={values.batch_size}: more than --images={values.images}")
        from cmo_tf.main import import_tensorflow
        import_tensorflow()
        with tempfile.TemporaryDirectory() as made:
            paths = (find_files(values.data_dir, values.images) if values.data_dir
                     else make_files(made, values.images))
            found = measure(make_sides(paths, values.batch_size), values.batch_size, values.rounds, values.batches)
    except (UserError, flags.Error) as error:
        print(f"benchmark_decode: {error}", file=sys.stderr)
        return 2
    result = summary(found)
    print(f"{'images/s':<40}{'median':>9}{'low':>9}{'high':>9}{'over plain':>12}")
    for name, row in result["images_per_second"].items():
        print(f"{name:<40}{row['median']:>9}{row['low']:>9}{row['high']:>9}{result['over_plain'][name]:>12}")
    if values.json:
        with open(values.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
