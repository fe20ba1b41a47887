"""Promise 9: files that people's folders really hold: which are pictures, how they are read, --bad_images=error|skip,
and what is said of pictures that are not read or stand in train and test."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageChops, ImageFile

from cmo_tf import datasets
from cmo_tf.augment import encoded as encoded_pictures
from cmo_tf.config import parse
from cmo_tf.core.errors import UserError
from cmo_tf.datasets import folder
from cmo_tf.datasets.bad_images import kind
from cmo_tf.datasets.decode import read_image
from cmo_tf.run import data
from tests.support.photo_folder import originals
from tests.support.program import program


def photo(width=96, height=72):
    return Image.fromarray(originals()["cat"][100:100 + height, 150:150 + width])


def encoded(image, form, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png(width, height, depth, colour, data) -> bytes:
    """A PNG with these settings in its header, whatever they say, and `data` as its pixels."""
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def bomb() -> bytes:
    """A PNG of some bytes whose header says 60,000 x 60,000 pixels."""
    return png(60_000, 60_000, 8, 2, b"\0" * 1000)


def deep_colours() -> bytes:
    """A PNG with 16 bits of each colour, and of transparency."""
    pixels = np.asarray(photo().convert("RGBA")).astype(">u2") * 257
    return png(96, 72, 16, 6, b"".join(b"\0" + row.tobytes() for row in pixels))


def sixteen_bits():
    ramp = np.asarray(photo().convert("L")).astype(np.uint16) * 256
    return Image.fromarray(ramp)


def jpeg_bomb(side=60_000) -> bytes:
    """A JPEG of the same."""
    data = encoded(photo(), "JPEG")
    place = data.index(b"\xff\xc0")  # start of frame: length, precision, height, width
    return data[:place + 5] + struct.pack(">HH", side, side) + data[place + 9:]


def animated(form="PNG"):
    frames = [photo(), photo().rotate(90).resize(photo().size)]
    return encoded(frames[0], form, save_all=True, append_images=frames[1:])


def without_adobe():
    """A CMYK JPEG without Adobe's marker: its values are amounts of ink, where Adobe's files hold their inverse."""
    data = encoded(ImageChops.invert(photo().convert("CMYK")), "JPEG")
    assert data[2:4] == b"\xff\xee" and data[6:11] == b"Adobe"
    return data[:2] + data[4 + int.from_bytes(data[4:6], "big"):]


GOOD = {
    "ink.jpg": without_adobe,
    "cmyk.jpg": lambda: encoded(photo().convert("CMYK"), "JPEG"),
    "grey.jpg": lambda: encoded(photo().convert("L"), "JPEG"),
    "alpha.png": lambda: encoded(photo().convert("LA"), "PNG"),
    "rgba.png": lambda: encoded(photo().convert("RGBA"), "PNG"),
    "few.png": lambda: encoded(photo().convert("P"), "PNG"),
    "bits.png": lambda: encoded(photo().convert("1"), "PNG"),
    "deep.png": lambda: encoded(sixteen_bits(), "PNG"),
    "moving.png": animated,
    "misnamed.png": lambda: encoded(photo(), "JPEG"), "misnamed.jpg": lambda: encoded(photo(), "PNG"),
    "point.png": lambda: encoded(photo(1, 1), "PNG"), "line.png": lambda: encoded(photo(1, 60), "PNG"),
    "lying.jpg": lambda: encoded(photo(200, 1), "JPEG"), "depth.png": deep_colours,
    "web.jpg": lambda: encoded(photo(), "WEBP"), "scan.png": lambda: encoded(photo(), "TIFF"),
    "moving.jpg": lambda: animated("GIF"), "moves.png": lambda: animated("WEBP"), "no name": lambda: encoded(photo(),
                                                                                                             "BMP"),
    "SHOUTED.JPEG": lambda: encoded(photo(), "JPEG"), "progressive.jpg": lambda: encoded(photo(), "JPEG",
                                                                                       progressive=True),
}
BAD = {
    "empty.jpg": (lambda: b"", "the file is empty"),
    "cut.jpg": (lambda: encoded(photo(), "JPEG")[:900], "JPEG: .*truncated"),
    "cut.png": (lambda: encoded(photo(), "PNG")[:900], "PNG: .*truncated"),
    "header.png": (lambda: encoded(photo(), "PNG")[:20], "PNG: "),
    "phone.jpg": (lambda: encoded(photo(), "AVIF"), "it is AVIF, whatever its name says; save it as JPEG or PNG"),
    "measured.tif": (lambda: encoded(photo().convert("F"), "TIFF"), "it holds fractions"),
    "page.jpg": (lambda: b"<html>404 not found</html>", "it is text"),
    "noise.jpg": (lambda: bytes(range(255, 0, -1)) * 9, "no picture of any known kind"),
    "flipped.png": (lambda: encoded(photo(), "PNG")[:60] + b"\xff" * 400 + encoded(photo(), "PNG")[460:], "PNG: "),
    "bomb.png": (bomb, "decompression bomb"), "bomb.jpg": (jpeg_bomb, "decompression bomb"),
}


@pytest.mark.parametrize("name", GOOD)
def test_odd_but_good_pictures_are_read(name, tmp_path):
    (tmp_path / name).write_bytes(GOOD[name]())
    pixels = read_image(str(tmp_path / name), 32)
    assert pixels.shape == (32, 32, 3) and pixels.dtype == np.uint8
    if name not in ("point.png", "line.png", "lying.jpg", "bits.png", "few.png"):
        plain = read_image(encoded(photo(), "PNG"), 32).mean(axis=-1)
        assert abs(pixels.mean() - plain.mean()) < 6


@pytest.mark.parametrize("name", BAD)
def test_bad_pictures_are_named_with_the_reason(name, tmp_path):
    make, reason = BAD[name]
    (tmp_path / name).write_bytes(make())
    with pytest.raises(UserError, match=f"{name}: not a readable picture .*{reason}") as error:
        read_image(str(tmp_path / name), 32)
    assert "\n" not in str(error.value)


def test_damaged_headers_never_crash():
    """Every early byte of a JPEG and a PNG changed in turn: read, or a UserError."""
    for form in ("JPEG", "PNG"):
        whole = encoded(photo(40, 30), form, **({"exif": Image.Exif()} if form == "JPEG" else {}))
        for place in range(0, min(len(whole), 400)):
            damaged = bytearray(whole)
            damaged[place] ^= 0xFF
            try:
                assert read_image(bytes(damaged), 16, name="picture").shape == (16, 16, 3)
            except UserError as error:
                assert "\n" not in str(error)


def test_kinds():
    assert [kind(encoded(photo(9, 9), form)) for form in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")] == \
        ["JPEG", "PNG", "WebP", "GIF", "TIFF", "BMP"]
    assert kind(b"") is None and kind(b"hello there") == "text" and kind(b"\0\0\0\x1cftypheic") == "HEIC"


@pytest.fixture
def own(tmp_path):
    """Two classes of 10 pictures, and links, pipes, hidden and nested things beside them."""
    root = tmp_path / "own"
    for label, name in enumerate(("cat", "dog")):
        (root / name / "nested").mkdir(parents=True)
        (root / name / "nested" / "deep.jpg").write_bytes(encoded(photo(), "JPEG"))
        for row in range(10):
            pixels = originals()["cat"][40 + 3 * row:140 + 3 * row, 100 + 100 * label:200 + 100 * label]
            (root / name / f"{row}.jpg").write_bytes(encoded(Image.fromarray(pixels), "JPEG"))
    (root / "cat" / ".hidden.jpg").write_bytes(b"")
    (root / "__MACOSX").mkdir()
    os.mkfifo(root / "cat" / "pipe.jpg")  # opening it would wait for ever
    os.symlink(root / "cat" / "1.jpg", root / "dog" / "link.jpg")  # a good picture
    os.symlink(root, root / "cat" / "loop.jpg")
    return root


def add_bad(root):
    for name, (make, _) in BAD.items():
        (root / "cat" / name).write_bytes(make())
    os.symlink("nowhere", root / "dog" / "broken.jpg")
    os.symlink("self.jpg", root / "dog" / "self.jpg")
    return len(BAD) + 2


def test_error_names_the_first(own):
    (own / "cat" / "5.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="cat/5.jpg: not a readable picture .the file is empty.$"):
        datasets.load(f"folder:{own}")


@pytest.mark.parametrize("memory_limit", [folder.MEMORY_LIMIT, 1000])
def test_skip_gives_what_a_folder_without_them_gives(own, memory_limit):
    plain = folder.load(own, image_size=32, memory_limit=memory_limit)
    assert len(plain.train) + len(plain.test) == 21 and plain.skipped == ()
    count = add_bad(own)
    found = folder.load(own, image_size=32, memory_limit=memory_limit, bad_images="skip", max_bad=count)
    for ours, theirs in ((found.train, plain.train), (found.test, plain.test)):
        assert np.array_equal(ours.labels, theirs.labels) and np.array_equal(ours.images, theirs.images)
    assert len(found.skipped) == count and (found.mean, found.std) == (plain.mean, plain.std)
    reasons = {os.path.basename(path): line for path, line in found.skipped}
    assert reasons["broken.jpg"].endswith("picture (No such file or directory)")
    assert "links" in reasons["self.jpg"] and "decompression bomb" in reasons["bomb.png"]


def test_the_cap(own):
    count = add_bad(own)
    for cap, fits in ((count, True), (count - 1, False), (0.5, True), (0.1, False), (0, False)):
        if fits:
            assert len(folder.load(own, bad_images="skip", max_bad=cap).skipped) == count
        else:
            with pytest.raises(UserError, match=f"--max_bad={cap:g}: .*more than .* bad pictures.*the first .*cat/"):
                folder.load(own, bad_images="skip", max_bad=cap)


def test_a_class_must_keep_a_picture(own):
    for row in range(10):
        (own / "cat" / f"{row}.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="no picture of class 'cat' can be read"):
        folder.load(own, bad_images="skip", max_bad=0.9)
    with pytest.raises(UserError, match="--bad_images=skip: is for folder:DIR"):
        datasets.load("digits", bad_images="skip")


def test_a_run_says_what_it_left_out(own, tmp_path):
    add_bad(own)
    config = parse([f"--dataset=folder:{own}", "--image_size=32", "--bad_images=skip", "--max_bad=0.5"])[0]
    found = data.load(config)
    from cmo_tf.run import summary
    summary.write_skipped(str(tmp_path), found.skipped)
    lines = (tmp_path / "skipped.txt").read_text().splitlines()
    assert len(lines) == len(found.skipped) and all("not a readable" in line for line in lines)
    assert len(found.train) + len(found.test) == 21


def published(data):
    """Pictures of a published set as its pipeline reads them."""
    return encoded_pictures.squares(tf.constant([data]), 32)[0].numpy()


def test_published_sets_read_the_same_kinds():
    """By TensorFlow's decoders, which know WebP: what is good is read, what is bad stops, bombs before they unpack."""
    plain = published(GOOD["misnamed.jpg"]()).mean()
    for name in ("cmyk.jpg", "ink.jpg", "grey.jpg", "rgba.png", "deep.png", "moving.png", "misnamed.png",
                 "progressive.jpg", "depth.png", "alpha.png"):
        assert abs(published(GOOD[name]()).mean() - plain) < 6, name
    assert published(animated("GIF")).shape == (32, 32, 3)  # its first frame
    assert abs(published(GOOD["web.jpg"]()).mean() - plain) < 6
    for name in ("empty.jpg", "cut.jpg", "cut.png", "header.png", "page.jpg", "noise.jpg",
                 "flipped.png", "bomb.png", "bomb.jpg", "phone.jpg"):
        with pytest.raises(tf.errors.InvalidArgumentError):
            pytest.fail(f"{name} was read: {published(BAD[name][0]()).mean()}")


def test_a_bomb_is_refused_by_its_header(monkeypatch):
    """No pixel of it is decoded."""
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    for make in (bomb, jpeg_bomb):
        with pytest.raises(UserError, match="decompression bomb"):
            read_image(make(), 32, name="picture")


def test_what_is_not_read_is_said(own):
    assert datasets.load(f"folder:{own}", image_size=32).notes == \
        ("not read inside class folders are folders: 3; --mode=inspect names them",)  # two of them, and a link
    (own / "dog" / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (own / "dog" / "notes.txt").write_text("not a picture")
    note = datasets.load(f"folder:{own}", image_size=32).notes[0]
    assert "HEIC: 1, folders: 3; " in note


@pytest.fixture
def splits(tmp_path):
    """Two classes of 6 and 3 pictures in train and test, no two alike."""
    root = tmp_path / "set"
    for label, name in enumerate(("cat", "dog")):
        for part, count, start in (("train", 6, 0), ("test", 3, 100)):
            (root / part / name).mkdir(parents=True)
            for row in range(count):
                pixels = originals()["cat"][start + 9 * row:start + 60 + 9 * row, 100 + 90 * label:160 + 90 * label]
                Image.fromarray(pixels).save(root / part / name / f"{row}.png")
    return root


def test_pictures_in_train_and_test_are_said(splits):
    """Copies and links, of other classes too; the run goes on with a warning."""
    assert datasets.load(f"folder:{splits}", image_size=16).notes == ()
    (splits / "test" / "dog" / "copy.png").write_bytes((splits / "train" / "cat" / "1.png").read_bytes())
    os.symlink(splits / "train" / "cat" / "2.png", splits / "test" / "cat" / "link.png")
    os.symlink("nowhere", splits / "test" / "cat" / "broken.png")
    (note,) = datasets.load(f"folder:{splits}", image_size=16, bad_images="skip", max_bad=1).notes
    assert note == (f"test pictures that are training pictures too: 2 ({splits}/train/cat/1.png = {splits}/test/dog/"
                    f"copy.png, {splits}/train/cat/2.png = {splits}/test/cat/link.png); the accuracy flatters, "
                    "--mode=inspect lists them")


def test_a_run_from_pictures_to_report(splits, tmp_path, small_networks):
    """With what is left out and what is said: on stderr, in log.txt, skipped.txt, results.json and the report."""
    (splits / "train" / "cat" / "bomb.png").write_bytes(bomb())
    (splits / "test" / "dog" / "copy.png").write_bytes((splits / "train" / "dog" / "1.png").read_bytes())
    given = [f"--dataset=folder:{splits}", "--image_size=16", "--model=resnet8", "--epochs=1", "--batch_size=8",
             "--mix=cmo", f"--run_dir={tmp_path / 'run'}"]
    refused = program(*given)
    assert refused.code == 2 and refused.err.count("\n") == 1 and "cat/bomb.png: not a readable" in refused.err
    assert not (tmp_path / "run").exists()
    capped = program(*given, "--bad_images=skip", "--max_bad=0")
    assert capped.code == 2 and "--max_bad=0: " in capped.err and not (tmp_path / "run").exists()
    ended = program(*given, "--bad_images=skip", "--max_bad=1")
    assert ended.code == 0, ended.err
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "warning: 1 bad pictures left out" in log and "test pictures that are training pictures too: 1 (" in log
    assert "cat/bomb.png" in (tmp_path / "run" / "skipped.txt").read_text()
    assert "1 pictures could not be read and were left out" in (tmp_path / "run" / "report.md").read_text()
