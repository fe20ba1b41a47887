"""Checks a copy of ImageNet-LT or iNaturalist 2018: every picture, and the counts against the published ones.

    python tools/verify_data.py --dataset=imagenet_lt --data_dir=DIR [--nodecode]

Prints a line for each check: lists and labels, label order (ImageNet: sorted synsets), number of pictures and classes,
largest and smallest class, and that every picture is there and can be decoded; the first that is not is named. Exit
code 0 when all is well, 2 otherwise. --nodecode looks at names and sizes of files alone, which takes seconds.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout that is not installed

from cmo_tf.core.errors import UserError  # noqa: E402
from cmo_tf.datasets import BIG, DATA_FORMATS  # noqa: E402

# Training pictures, classes, pictures of the largest and the smallest class, test pictures.
PUBLISHED = {"imagenet_lt": (115_846, 1000, 1280, 5, 50_000), "inaturalist2018": (437_513, 8142, 1000, 2, 24_426)}
WHAT = ("training pictures", "classes", "pictures in the largest class", "pictures in the smallest class",
        "test pictures")


def counts(source) -> tuple:
    """What PUBLISHED has, of a loaded set."""
    import numpy as np
    sizes = np.bincount(source.train.labels, minlength=source.num_classes)
    return len(source.train), source.num_classes, int(sizes.max()), int(sizes.min()), len(source.test)


def check_picture(data: bytes) -> str | None:
    """What is wrong with an encoded picture; None for a good one."""
    import io

    from PIL import Image
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "GIF", "BMP", "WEBP")) as image:
            image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return str(error).replace("\n", " ") or type(error).__name__
    return None


def first_bad(source, split, decode: bool) -> str | None:
    """Names the first picture of a split that is missing or damaged; None if there is none."""
    def look(image):
        if source.records:
            from cmo_tf.pipeline.pictures import encoded_of
            return check_picture(encoded_of(source.records.read([image])).numpy()[0])
        try:
            with open(image, "rb") as file:
                if decode:
                    return check_picture(file.read())
            return None if os.path.getsize(image) else "empty file"
        except OSError as error:
            return error.strerror

    images, report = split.images.tolist(), Estimate(len(split))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for start in range(0, len(images), 1024):  # in parts: a bad picture ends it
            for row, problem in enumerate(pool.map(look, images[start:start + 1024]), start):
                if problem:
                    name = f"record {images[row]}" if source.records else os.fsdecode(images[row])
                    return f"{name} (row {row + 1}): {problem}"
            report(min(start + 1024, len(images)))
    return None


class Estimate:
    """Every few seconds a line on stderr with what is done and how long the rest will take."""

    def __init__(self, total):
        self.total, self.began = total, time.monotonic()
        self.next = self.began + 5

    def __call__(self, done):
        now = time.monotonic()
        if now >= self.next:
            self.next = now + 5
            left = (now - self.began) / done * (self.total - done)
            print(f"{done:,} of {self.total:,} pictures, {left / 60:.0f} min left", file=sys.stderr, flush=True)


def verify(dataset, data_dir, data_format, decode) -> int:
    """Prints the checks; returns how many failed."""
    from cmo_tf import datasets
    source = datasets.load(dataset, data_dir=data_dir, data_format=data_format, download=False)
    kind = "records" if source.records else "files"
    print(f"ok: {dataset} from {kind}; lists, labels and class names are in order "
          f"({source.class_names[0]} .. {source.class_names[-1]})")
    failed = 0
    for what, found, published in zip(WHAT, counts(source), PUBLISHED[dataset], strict=True):
        failed += found != published
        print(f"{'ok' if found == published else 'NOT OK'}: {found:,} {what}"
              + ("" if found == published else f", published are {published:,}"))
    for name in ("train", "test"):
        bad = first_bad(source, getattr(source, name), decode)
        failed += bad is not None
        print(f"NOT OK: {name}: {bad}" if bad else f"ok: {name}: every picture is there" + (" and decodes" * decode))
    return failed


def main(arguments=None) -> int:
    """The command line."""
    values = flags.FlagValues()
    flags.DEFINE_enum("dataset", None, BIG, "set", flag_values=values)
    flags.DEFINE_string("data_dir", None, "as the program takes it", flag_values=values)
    flags.DEFINE_enum("data_format", "auto", DATA_FORMATS, "as the program takes it", flag_values=values)
    flags.DEFINE_bool("decode", True, "decode every picture", flag_values=values)
    try:
        values([__file__, *(sys.argv[1:] if arguments is None else arguments)])
        if not values.dataset:
            raise UserError(f"--dataset: one of {', '.join(BIG)} is needed")
        failed = verify(values.dataset, values.data_dir, values.data_format, values.decode)
    except (UserError, flags.Error) as error:
        print(f"verify_data: {error}", file=sys.stderr)
        return 2
    print(f"{failed} checks failed" if failed else "all is well")
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
