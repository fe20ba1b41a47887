"""Saves a checkpoint again and again in processes of its own, each of which ends at another operation on files, without
cleaning up; prints how many there were and what was found after each.

    python killed_saves.py FOLDER
"""

import json
import os
import shutil
import sys

import numpy as np

from cmo_tf.run.checkpoint import CheckpointStore

WATCHED = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir", "os.listdir", "shutil.rmtree"}


def content(step):
    """Arrays and metadata of the checkpoint of a step."""
    return {"w": np.full((50, 20), step, np.float32), "step": np.int64(step)}, {"history": [step] * step}


def save_and_die(directory, step, operation) -> bool:
    """Whether the process that saves `step` was ended at its operation number `operation`; else it was done before."""
    child = os.fork()
    if not child:
        count = 0

        def hook(event, _):
            nonlocal count
            count += event in WATCHED
            if count == operation:
                os._exit(9)
        sys.addaudithook(hook)
        CheckpointStore(directory).save(step, *content(step))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def found_after(directory) -> dict:
    """What the next start finds, and what it leaves."""
    store = CheckpointStore(directory)
    store.sweep()
    arrays, meta, skipped = store.load()
    step = meta["step"]
    good = all(np.array_equal(arrays[k], v) for k, v in content(step)[0].items()) and meta["history"] == [step] * step
    store.save(31, *content(31))
    return {"step": step, "good": good, "skipped": skipped, "left": sorted(os.listdir(directory))}


def main(folder, begun=(10, 20), step=30) -> None:
    """One JSON line for each operation: what was found."""
    operation = 0
    while True:
        operation += 1
        directory = os.path.join(folder, f"{step}-{operation}")
        for earlier in begun:
            CheckpointStore(directory).save(earlier, *content(earlier))
        killed = save_and_die(directory, step, operation)
        print(json.dumps({"saved": step, "operation": operation, "killed": killed, **found_after(directory)}))
        shutil.rmtree(directory)
        if not killed:
            return


if __name__ == "__main__":
    main(sys.argv[1])
    main(sys.argv[1], begun=(20,), step=20)  # the only one there is, written anew
