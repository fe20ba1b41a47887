"""Promise 3: damaged checkpoints are named and skipped; without a good one nothing is touched."""

import random
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from cmo_tf.core.errors import UserError
from cmo_tf.report.results import read_results
from cmo_tf.run import early_stop
from cmo_tf.run.checkpoint import CheckpointStore
from tests.support.fault_runs import assert_undisturbed, small
from tests.support.program import damage, newest, tree

FILES = ("arrays.npz", "meta.json", "SHA256SUMS")


def shorten(path, size):
    path.write_bytes(path.read_bytes()[:int(path.stat().st_size * size)])


# What happens to a checkpoint's folder, and what is said of it.
DAMAGES = {
    "arrays.npz truncated": (lambda at: shorten(at / "arrays.npz", 0.7), "arrays.npz does not match its checksum"),
    "a byte flipped in arrays.npz": (lambda at: damage(at / "arrays.npz"), "arrays.npz does not match its checksum"),
    "a byte flipped in meta.json": (lambda at: damage(at / "meta.json"), "meta.json does not match its checksum"),
    "a byte flipped in the sums": (lambda at: damage(at / "SHA256SUMS", 0.1), "arrays.npz does not match its checksum"),
    "meta.json empty": (lambda at: shorten(at / "meta.json", 0), "meta.json does not match its checksum"),
    "half of meta.json": (lambda at: shorten(at / "meta.json", 0.5), "meta.json does not match its checksum"),
    "the sums empty": (lambda at: shorten(at / "SHA256SUMS", 0), "arrays.npz does not match its checksum"),
    "half of the sums": (lambda at: shorten(at / "SHA256SUMS", 0.5), "meta.json does not match its checksum"),
    **{f"{name} missing": (lambda at, name=name: (at / name).unlink(), f"{name} is missing") for name in FILES},
    "the folder empty": (lambda at: [(at / name).unlink() for name in FILES], "SHA256SUMS is missing"),
}


def content(step):
    return {"w": np.full((30, 7), step, np.float32), "v": np.arange(step)}


def store_at(folder, steps=(10, 20, 30), keep=3):
    store = CheckpointStore(str(folder), keep=keep)
    for step in steps:
        store.save(step, content(step), {"history": []})
    return store


def assert_loads(store, step, skipped):
    arrays, meta, messages = store.load()
    assert meta["step"] == step
    assert all(np.array_equal(arrays[name], array) for name, array in content(step).items())
    assert [message.split(":")[0] for message in messages] == [f"skipped step-{s:010d}" for s in skipped]
    return messages


@pytest.mark.parametrize("name", DAMAGES)
def test_the_next_good_one_is_used_and_the_skipped_ones_are_named(name, tmp_path):
    harm, told = DAMAGES[name]
    store = store_at(tmp_path)
    harm(tmp_path / "step-0000000030")
    assert told in assert_loads(store, 20, [30])[0]
    harm(tmp_path / "step-0000000020")
    assert all(told in message for message in assert_loads(store, 10, [30, 20]))
    harm(tmp_path / "step-0000000010")
    before = tree(tmp_path)
    with pytest.raises(UserError, match=r"no good checkpoint \(skipped step-0000000030: .*; skipped step-0000000020: .*"
                                        r"; skipped step-0000000010: .*\)\. Move the folder away"):
        store.load()
    assert tree(tmp_path) == before


def test_no_flipped_bit_goes_unseen(tmp_path):
    """Anywhere in any file: the content is what was saved, or the checkpoint is refused."""
    draw, refused, store = random.Random(4), 0, store_at(tmp_path, [10])
    for _ in range(300):
        path = tmp_path / "step-0000000010" / draw.choice(FILES)
        before = path.read_bytes()
        damage(path, draw.random())
        try:
            assert_loads(store, 10, [])
        except UserError:
            refused += 1
        path.write_bytes(before)
    print(f"300 flipped bits: {refused} refused, the others change nothing")
    assert refused > 290
    assert_loads(store, 10, [])


def test_what_was_skipped_does_not_crowd_out_what_is_saved_next(tmp_path):
    store = store_at(tmp_path, (10, 58, 60))
    for step in (58, 60):
        damage(tmp_path / f"step-{step:010d}" / "arrays.npz")
    store.keep = 2
    assert_loads(store, 10, [60, 58])
    store.save(12, content(12), {})
    assert store.steps() == [10, 12]
    store.save(14, content(14), {})
    assert_loads(store, 14, [])


def test_a_run_goes_on_past_all_newer_ones_damaged(whole, small_networks, no_plots, tmp_path):
    """The last one that is left is that of the best epoch; stopping soon after it keeps what was done since."""
    run_dir = tmp_path / "run"
    assert small(run_dir, "--max_steps=9").code == 0
    good, *bad = sorted((run_dir / "checkpoints").iterdir())
    assert good.name == "step-0000000005" and len(bad) >= 2
    for at in bad[:-1]:
        DAMAGES["half of meta.json"][0](at)
    DAMAGES["arrays.npz truncated"][0](bad[-1])
    ended = small(run_dir, "--max_steps=7")
    assert ended.code == 0, ended.err
    for text in (ended.err, (run_dir / "log.txt").read_text()):
        assert f"skipped {bad[-1].name}: arrays.npz does not match" in text
        assert all(f"skipped {at.name}: meta.json does not match" in text for at in bad[:-1])
        assert "resuming at step 5" in text
    assert newest(run_dir) == 7
    assert small(run_dir).code == 0
    assert read_results(str(run_dir))["resumed_from_steps"] == [5, 7]
    assert_undisturbed(run_dir, whole)


def test_the_checkpoint_of_the_best_epoch_is_named(tmp_path):
    """It is read only at the end, by --keep=best; other weights than those asked for are no way out."""
    run = SimpleNamespace(store=store_at(tmp_path), ended=False, history=[{"epoch": 3}], global_step=30,
                          whole=SimpleNamespace(keep="best"), best={"step": 10, "epoch": 1})
    damage(tmp_path / "step-0000000010" / "arrays.npz")
    with pytest.raises(UserError, match=r"--keep=best: .* epoch 1 is no longer good \(step-0000000010: arrays"):
        early_stop.keep(run)


@pytest.mark.parametrize("name", DAMAGES)
def test_without_a_good_one_a_run_refuses_and_overwrites_nothing(name, whole, small_networks, tmp_path):
    run_dir = shutil.copytree(whole, tmp_path / "run")
    for at in (run_dir / "checkpoints").iterdir():
        DAMAGES[name][0](at)
    before = tree(run_dir)
    refused = small(run_dir)
    assert refused.code == 2 and refused.out == ""
    assert "no good checkpoint" in refused.err and refused.err.count("\n") == 1
    assert all(at.name in refused.err for at in (run_dir / "checkpoints").iterdir())
    assert tree(run_dir) == before
