"""folder:DIR, on pictures cut from real photographs."""

import numpy as np
import pytest
from PIL import Image

from cmo_tf import datasets
from cmo_tf.core.errors import UserError
from cmo_tf.datasets import folder
from cmo_tf.datasets.decode import decode_image_file, read_image
from tests.support.tiny_tfds import photographs

COUNTS = {"cat": 6, "Dog": 3, "éléphant d'Asie": 1}


def write_classes(root, counts=COUNTS, suffixes=(".jpg", ".png", ".JPEG")):
    random = np.random.RandomState(0)
    photos = photographs()
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for row in range(count):
            y, x, height, width = *random.randint(0, 200, 2), *random.randint(60, 220, 2)
            picture = Image.fromarray(photos[label % 2, y:y + height, x:x + width])
            picture.save(root / name / f"picture {row}{suffixes[row % len(suffixes)]}")
    return root


def test_held_out_form(tmp_path):
    write_classes(tmp_path)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "cat" / "._picture 0.jpg").write_bytes(b"junk")
    (tmp_path / "cat" / "notes.txt").write_text("not a picture")
    (tmp_path / "readme.md").write_text("not a class")
    source = datasets.load(f"folder:{tmp_path}", image_size=32, test_fraction=0.34)
    assert source.class_names == ("Dog", "cat", "éléphant d'Asie")
    assert np.bincount(source.train.labels).tolist() == [2, 4, 1]
    assert np.bincount(source.test.labels).tolist() == [1, 2]
    assert source.image_shape == (32, 32, 3) and source.stored_shape == (37, 37, 3) and source.augment == "crop_flip"
    assert np.allclose(source.mean, (source.train.images / 255).mean((0, 1, 2)), atol=1e-4)
    again, other = (folder.load(tmp_path, image_size=32, test_fraction=0.34, seed=seed) for seed in (0, 5))
    assert np.array_equal(source.test.images, again.test.images)
    assert not np.array_equal(source.test.images, other.test.images)


def test_train_and_test_form(tmp_path):
    write_classes(tmp_path / "train")
    write_classes(tmp_path / "test", dict.fromkeys(COUNTS, 2))
    source = datasets.load(f"folder:{tmp_path}")
    assert source.image_shape == (64, 64, 3)
    assert np.bincount(source.train.labels).tolist() == [3, 6, 1]
    assert np.bincount(source.test.labels).tolist() == [2, 2, 2]


def test_a_class_may_be_called_train(tmp_path):
    write_classes(tmp_path, {"car": 2, "train": 2, "tram": 2})
    assert datasets.load(f"folder:{tmp_path}").class_names == ("car", "train", "tram")


def test_paths_form_gives_the_same_pixels(tmp_path):
    import tensorflow as tf

    write_classes(tmp_path)
    memory = folder.load(tmp_path, image_size=32)
    paths = folder.load(tmp_path, image_size=32, memory_limit=1000)
    assert memory.in_memory and not paths.in_memory and paths.train.images.dtype.kind == "U"
    assert paths.stored_shape == memory.stored_shape and (paths.mean, paths.std) == (memory.mean, memory.std)
    for left, right in ((memory.train, paths.train), (memory.test, paths.test)):
        stream = tf.data.Dataset.from_tensor_slices(right.images.tolist())
        stream = stream.map(lambda path: decode_image_file(path, paths.stored_shape[0]), num_parallel_calls=2)
        assert stream.element_spec == tf.TensorSpec((37, 37, 3), tf.uint8)
        assert np.array_equal(np.stack(list(stream.as_numpy_iterator())), left.images)
        assert np.array_equal(left.labels, right.labels)


def fail(directory, message, **options):
    with pytest.raises(UserError, match=message) as error:
        datasets.load(f"folder:{directory}", **options)
    assert "\n" not in str(error.value)


def test_no_such_folder(tmp_path):
    fail(tmp_path / "nowhere", "--dataset=folder:.*nowhere: no such folder")


def test_a_folder_without_pictures(tmp_path):
    fail(tmp_path, f"no class folders with pictures in {tmp_path}")
    (tmp_path / "cat").mkdir()
    fail(tmp_path, "class folder .*cat has no picture")


def test_classes_that_differ(tmp_path):
    write_classes(tmp_path / "train", {"cat": 2, "dog": 2, "horse": 1})
    write_classes(tmp_path / "test", {"cat": 1, "dgo": 1})
    fail(tmp_path, "classes without training pictures: dgo .only in test; only in train: dog, horse")


def test_half_a_split(tmp_path):
    write_classes(tmp_path / "train", {"cat": 2})
    fail(tmp_path, "test has no class folders")


def test_nothing_to_hold_out(tmp_path):
    write_classes(tmp_path, {"cat": 1, "dog": 1})
    fail(tmp_path, "no class has a second picture")


@pytest.mark.parametrize("damage", ["empty", "text", "truncated"])
def test_an_unreadable_picture_is_named(damage, tmp_path):
    write_classes(tmp_path)
    bad = tmp_path / "cat" / "picture 3.jpg"
    bad.write_bytes({"empty": b"", "text": b"<html>not found</html>", "truncated": bad.read_bytes()[:900]}[damage])
    fail(tmp_path, "--dataset=folder:.*cat/picture 3.jpg: not a readable picture")


def smooth(mode):
    y, x = np.mgrid[0:80, 0:120]
    ramp = (y + x).astype(np.uint8)
    return Image.fromarray(np.stack([ramp, 255 - ramp, ramp // 2], axis=-1)).convert(mode)


@pytest.mark.parametrize("mode,suffix", [("RGB", "jpg"), ("CMYK", "jpg"), ("L", "jpg"), ("L", "png"), ("P", "png"),
                                         ("RGBA", "png"), ("LA", "png"), ("1", "png")])
def test_modes_become_the_same_rgb(mode, suffix, tmp_path):
    smooth(mode).save(tmp_path / f"picture.{suffix}")
    pixels = read_image(str(tmp_path / f"picture.{suffix}"), 40)
    square = smooth(mode).convert("RGB").crop((20, 0, 100, 80))
    expected = np.asarray(square.resize((40, 40), Image.Resampling.BILINEAR))
    tolerance = 14 if mode == "1" else 6  # a draft decode of a JPEG and the order of crop and resize cost a little
    assert pixels.shape == (40, 40, 3) and np.abs(pixels.astype(int) - expected).mean() < tolerance


def test_sixteen_bits_keep_their_upper_eight(tmp_path):
    ramp = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1024
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    assert np.array_equal(read_image(str(tmp_path / "deep.png"), 8, channels=1)[..., 0], ramp >> 8)


def test_transparent_is_white(tmp_path):
    Image.new("RGBA", (10, 10), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_image(str(tmp_path / "clear.png"), 5) == 255).all()


def test_phones_turn_their_pictures_by_exif(tmp_path):
    picture = smooth("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    picture.save(tmp_path / "turned.png", exif=exif)
    picture.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "upright.png")
    turned, upright = (read_image(str(tmp_path / name), 40) for name in ("turned.png", "upright.png"))
    assert np.array_equal(turned, upright)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1)])
def test_tiny_pictures(shape, tmp_path):
    Image.fromarray(np.full((*shape, 3), 77, np.uint8)).save(tmp_path / "tiny.png")
    assert (read_image(str(tmp_path / "tiny.png"), 9) == 77).all()


def test_long_loads_say_how_far_they_are(capsys, monkeypatch):
    from cmo_tf.datasets import decode

    progress = decode.Progress("folder:x", 3, seconds=0)
    for done in (1, 2, 3):
        progress(done)
    assert capsys.readouterr().err.splitlines() == ["folder:x: read 1 of 3 pictures (33 %), about 0:00:00 left",
                                                    "folder:x: read 2 of 3 pictures (66 %), about 0:00:00 left"]
