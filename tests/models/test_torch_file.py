"""PyTorch's oldest file format: tensors come out as they went in, anything else is one line."""

import pickle
import zipfile

import numpy as np
import pytest

from cmo_tf.core.errors import UserError
from cmo_tf.models.weights import torch_file
from tests.support.torch_streams import Global, Named, Storage, Tensor, stream


@pytest.fixture
def tensors():
    """A row-major one, one whose memory is in another order, a count."""
    random = np.random.RandomState(0)
    hwio = random.normal(size=(3, 3, 2, 4)).astype("float32")
    # Twelve of them: as texts, "10" sorts before "2".
    return {"conv.weight": hwio.transpose(3, 2, 0, 1), "bn.num_batches_tracked": np.array(7),
            **{f"bn{k}.weight": random.normal(size=5).astype("float32") for k in range(10)}}


def test_tensors_come_out_as_they_went_in(tensors):
    found = torch_file.read(stream(tensors), "here")
    assert list(found) == list(tensors)
    for name, array in tensors.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
        assert found[name].flags.owndata or found[name].base.flags.owndata


def refused(content, *words):
    with pytest.raises(UserError) as error:
        torch_file.read(content, "weights.pth")
    message = str(error.value)
    assert message.startswith("weights.pth: is no PyTorch state dict") and "\n" not in message
    assert all(word in message for word in words), message


def one(**options):
    """A file of a single tensor of four numbers, described by `options` of Tensor."""
    values = {"storage": Storage("0", "FloatStorage", 4), "offset": 0, "shape": (4,), "strides": (1,)} | options
    return stream({"w": np.zeros(4, "float32")}, state=Named([("w", Tensor(**values))]))


def test_the_single_tensor_of_the_next_tests_is_read():
    assert torch_file.read(one(), "here")["w"].shape == (4,)


@pytest.mark.parametrize(("options", "words"), [
    ({"shape": (5,)}, ["beyond its storage"]), ({"offset": 1}, ["beyond its storage"]),
    ({"strides": (2,)}, ["beyond its storage"]), ({"strides": (-1,)}, ["not described"]),
    ({"offset": -1}, ["not described"]), ({"shape": (4.0,)}, ["not described"]), ({"offset": True}, ["not described"]),
    ({"strides": (1, 1)}, ["not described"]), ({"storage": "0"}, ["not described"]),
    ({"storage": Storage("0", "HalfStorage", 4)}, ["torch.HalfStorage"]),
    ({"storage": Storage("0", "FloatStorage", -4)}, ["unknown kind"]),
    ({"storage": Storage(0, "FloatStorage", 4)}, ["unknown kind"]),
    ({"storage": Storage("0", "FloatStorage", 2**62)}, ["bytes are announced"]),
    ({"storage": Storage("1", "FloatStorage", 4)}, ["list of storages"]),
])
def test_a_tensor_that_is_described_otherwise_is_refused(options, words):
    refused(one(**options), *words)


def test_a_file_of_another_kind_is_refused(tensors, tmp_path):
    right = stream(tensors)
    refused(stream(tensors, magic=torch_file.MAGIC + 1), "does not begin")
    refused(stream(tensors, system={**torch_file.SYSTEM, "little_endian": False}), "does not begin")
    refused(right + b"\0\0\0\0", "bytes are announced")
    refused(right[:-4], "bytes are announced")
    refused(right[:100])
    refused(b"")
    refused(stream(tensors, counts={"0": 3}), "another length")
    refused(stream(tensors, counts={"0": 2**62}), "another length")
    refused(stream(tensors, keys=["0"]), "list of storages")
    refused(stream(tensors, keys=Global("os", "system")), "os.system")
    with zipfile.ZipFile(tmp_path / "new.pth", "w") as archive:
        archive.writestr("archive/data.pkl", right)
    refused((tmp_path / "new.pth").read_bytes())


def test_two_tensors_of_one_storage_are_refused():
    storage = Storage("0", "FloatStorage", 4)
    state = Named([(name, Tensor(storage, 0, (4,), (1,))) for name in ("a", "b")])
    refused(stream({"a": np.zeros(4, "float32")}, state=state), "share a storage")


def test_storages_described_in_two_ways_are_refused():
    state = Named([("a", Tensor(Storage("0", "FloatStorage", 4), 0, (4,), (1,))),
                   ("b", Tensor(Storage("0", "FloatStorage", 3), 0, (3,), (1,)))])
    refused(stream({"a": np.zeros(4, "float32")}, state=state), "in two ways")


@pytest.mark.parametrize("state", [Named([("a", 1)]), Named([(1, 2)]), {"a": 1}, [1], Global("os", "system")])
def test_anything_but_named_tensors_is_refused(state):
    refused(stream({"a": np.zeros(4, "float32")}, state=state))


class Attack:
    """What a pickle can ask for."""

    def __reduce__(self):
        return exec, ("raise SystemExit('code of the file was run')",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_is_never_run(protocol):
    refused(pickle.dumps(Attack(), protocol), "exec")
    begin = stream({})[:0]
    refused(begin + pickle.dumps(torch_file.MAGIC, 2) + pickle.dumps(Attack(), protocol), "exec")


def test_every_single_damaged_byte_of_the_pickles_is_survived():
    """Another value may come out (a digest stands before the reader), never another error or code."""
    content = one()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 0x55
        try:
            torch_file.read(bytes(damaged), "here")
        except UserError:
            continue
