"""Promise 11, models: what a file of somebody else is, its content says; nothing in it runs, and it leads nowhere."""

import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from cmo_tf import models
from cmo_tf.core.errors import UserError
from cmo_tf.core.serialization import CLASSES
from cmo_tf.models.weights import saved_file, weight_files
from tests.support.program import program

RAN = "ran.txt"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A .keras file as runs write it."""
    path = tmp_path_factory.mktemp("model") / "model.keras"
    models.create("resnet20", 3, (8, 8, 1), head="normed", seed=0).save(path)
    return path


def rewritten(path, out, change=None, **members):
    """A copy of a .keras file: its config.json by `change`, members in place of others, or beside them."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as copy:
        kept = {name: source.read(name) for name in source.namelist()} | members
        if change:
            config = json.loads(kept["config.json"])
            change(config)
            kept["config.json"] = json.dumps(config).encode()
        for name, data in kept.items():
            if data is not None:
                copy.writestr(name, data)
    return out


def refused(path, *words):
    with pytest.raises(UserError) as error:
        saved_file.load(str(path))
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), error.value


def test_our_own_files_are_loaded(model, tmp_path):
    network = saved_file.load(str(model))
    image = np.ones((2, 8, 8, 1), np.float32)
    os.rename(rewritten(model, tmp_path / "a.keras", **{"classes.json": b"{}"}), tmp_path / "no suffix")
    again = saved_file.load(str(tmp_path / "no suffix"))  # by its content
    np.testing.assert_array_equal(network(image), again(image))


def first_layer(**changes):
    """Function that changes the first layer with weights of a config."""
    def change(config):
        next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Conv2D").update(changes)
    return change


@pytest.mark.parametrize("layer", [
    dict(class_name="Lambda"), dict(class_name="TFSMLayer"), dict(class_name="TorchModuleWrapper"),
    dict(class_name="StringLookup"), dict(class_name="TextVectorization"),
    dict(module="os", class_name="system"), dict(module="builtins", class_name="exec"),
    dict(module="keras.utils", class_name="get_file"), dict(module="keras.saving", class_name="load_model"),
    dict(module="keras.src.utils.torch_utils", class_name="TorchModuleWrapper"),
    dict(module="my_package", registered_name="my_package>Layer"), dict(registered_name="cmo_tf>Nothing"),
    dict(module=None), dict(class_name=["Conv2D"]), dict(class_name="__lambda__"),
    dict(class_name="__typespec__", spec_name="x"),
    dict(class_name="function", module="keras.utils", config="get_file"),
], ids=str)
def test_classes_that_are_not_loaded_from_files(layer, model, tmp_path):
    name = layer.get("class_name", "Conv2D")
    refused(rewritten(model, tmp_path / "model.keras", first_layer(**layer)), repr(name), "not loaded from files")


def test_code_in_a_model_never_runs(tmp_path, monkeypatch):
    """Also where the user has switched Keras' safe mode off for all else."""
    monkeypatch.chdir(tmp_path)
    code = keras.layers.Lambda(lambda x, run=open: [run("ran.txt", "w"), x][1])
    keras.Sequential([keras.Input((4,)), code]).save("model.keras")
    os.remove(RAN)  # building it ran the code
    keras.config.enable_unsafe_deserialization()
    try:
        refused("model.keras", "'Lambda'")
    finally:
        from keras.src.backend.common import global_state
        global_state.set_global_attribute("safe_mode_saving", None)
    assert not os.path.exists(RAN)


class Shell:
    """Its pickle makes a file when it is read."""

    def __reduce__(self):
        return open, (RAN, "w")


def h5_bytes():
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        opened["x"] = 1
    return file.getvalue()


def torch_file():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Shell()))
    return file.getvalue()


OTHERS = {
    "pickle": (lambda: pickle.dumps(Shell()), "a pickle"), "h5": (h5_bytes, "HDF5"),
    "torch": (torch_file, "holds a pickle"), "empty": (lambda: b"", "empty"), "text": (lambda: b"{}", "no zip archive"),
    "gzip": (lambda: b"\x1f\x8b123", "gzip"), "cut": (lambda: b"PK\x03\x04123", "not a zip file"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_formats_are_refused_by_content(kind, tmp_path, monkeypatch):
    """Whatever the name says, as a model and as initial weights; nothing in them runs."""
    monkeypatch.chdir(tmp_path)
    make, words = OTHERS[kind]
    for name in ("model.keras", "weights.h5", "weights.npz"):
        Path(name).write_bytes(make())
        refused(name, words)
        network = models.create("resnet20", 3, (8, 8, 1), seed=0) if name == "weights.npz" else None
        if network is not None:
            with pytest.raises(UserError, match="^--init_weights=weights.npz: "):
                weight_files.load(network, name)
    assert sorted(os.listdir()) == ["model.keras", "weights.h5", "weights.npz"]
    refused(tmp_path, "a folder")
    refused(tmp_path / "nowhere.keras", "No such file")


@pytest.mark.parametrize("members, words", [
    ({"config.json": None}, "no config.json"), ({"model.weights.h5": None}, "no model.weights.h5"),
    ({"../evil.txt": b"x"}, "'../evil.txt' in it does not belong"), ({"/tmp/evil": b"x"}, "does not belong"),
    ({"assets/a.txt": b"x"}, "does not belong"), ({"model.weights.npz": b"x"}, "does not belong"),
    ({"x.pkl": b"x"}, "a pickle"), ({"config.json": b"["}, "Expecting"), ({"config.json": b"[" * 10**5}, "recursion"),
    ({"config.json": b"\xff"}, "decode"), ({"model.weights.h5": b"x"}, "cannot be loaded"),
    ({"config.json": b"3"}, "cannot be loaded"), ({"config.json": b"{}"}, "cannot be loaded"),
], ids=str)
def test_archives_hold_what_belongs_there(members, words, model, tmp_path):
    refused(rewritten(model, tmp_path / "model.keras", **members), words)
    assert os.listdir(tmp_path) == ["model.keras"]


def test_bombs_are_not_unpacked(model, tmp_path):
    bomb = tmp_path / "model.keras"
    with zipfile.ZipFile(model) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as copy:
        for name in source.namelist():
            copy.writestr(name, bytes(2**26) if name == "model.weights.h5" else source.read(name))
    assert bomb.stat().st_size < 2**18
    refused(bomb, "model.weights.h5 in it unpacks to 67,108,864 bytes")


def test_weights_read_no_other_file(tmp_path):
    """Links to other files, data that lies in them, and data that grows without end: refused before it is read."""
    (tmp_path / "secret").write_bytes(b"\x07" * 4096)
    network = models.create("resnet20", 3, (8, 8, 1), seed=0)
    network.save_weights(tmp_path / "good.weights.h5")
    places = []
    with h5py.File(tmp_path / "good.weights.h5") as file:
        file.visititems(lambda name, part: places.append(name) if isinstance(part, h5py.Dataset) else None)
    first, shape = places[0], (3, 3, 1, 16)

    def link(group, name):
        group[name] = h5py.ExternalLink(str(tmp_path / "secret"), "/x")

    def soft(group, name):
        group[name] = h5py.SoftLink("/layers")

    def external(group, name):
        group.create_dataset(name, shape, "f4", external=[(str(tmp_path / "secret"), 0, 4 * 144)])

    def virtual(group, name):
        layout = h5py.VirtualLayout(shape, "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret"), "x", shape)
        group.create_virtual_dataset(name, layout)

    def grown(group, name):
        group.create_dataset(name, (2**30,), "f8", chunks=(2**20,), compression="gzip")

    for change, words in ((link, "is a link to elsewhere"), (soft, "is a link to elsewhere"),
                          (external, "lies in another file"), (virtual, "lies in another file"), (grown, "unpacks to")):
        path = tmp_path / f"{change.__name__}.weights.h5"
        path.write_bytes((tmp_path / "good.weights.h5").read_bytes())
        with h5py.File(path, "a") as file:
            del file[first]
            change(file[os.path.dirname(first)], os.path.basename(first))
        with pytest.raises(UserError, match=f"^--init_weights={path}: .*{os.path.basename(first)} {words}|{words}"):
            weight_files.load(network, str(path))
    weight_files.load(network, str(tmp_path / "good.weights.h5"))


def test_every_mode_loads_models_in_this_way_alone(tmp_path):
    """A run folder of somebody else whose model.keras is a pickle, or needs code: one line, exit code 2."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "flags.cfg").write_text("--dataset=digits\n")
    (run / "model.keras").write_bytes(pickle.dumps(Shell()))
    before = sorted(os.listdir(tmp_path))
    for arguments in ([f"--run_dir={run}", "--mode=eval"], [f"--run_dir={run}", "--mode=export", "--format=keras"],
                      [f"--run_dir={run}", "--mode=predict", f"--input={run}"],
                      [f"--init_from={run}", f"--run_dir={tmp_path / 'new'}", "--method=crt"]):
        ended = program(*arguments)
        assert ended.code == 2 and ended.err.count("\n") == 1, ended.err
    assert "by its content it is a pickle" in program("--mode=eval", f"--run_dir={run}").err
    assert sorted(os.listdir(tmp_path)) == before and not os.path.exists(RAN)


def test_the_registry_is_ours():
    # BUILD.md's example, which another test runs, registers a class of a user.
    registered = {name for name, kind in keras.saving.get_custom_objects().items()
                  if name.startswith("cmo_tf>") and kind.__module__.startswith("cmo_tf.")}
    assert registered == {f"cmo_tf>{name}" for name in CLASSES}
