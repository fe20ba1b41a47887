"""Ends a program as kill -9 does at a chosen moment of writing checkpoints. As a program of its own:

    python killed_run.py SAVE MOMENT ARGUMENTS     python -m cmo_tf.main ARGUMENTS, killed in its save number SAVE
"""

import os
import signal
import sys

# What a save syncs to the disk, in order.
MOMENTS = {1: "before meta", 2: "after meta", 3: "after the sums", 4: "before the rename", 5: "after the rename"}


def kill_in(save, moment, checkpoint, kill, patch=setattr) -> None:
    """Patches the module cmo_tf.run.checkpoint: `kill` is called at a moment of its save number `save`."""
    saves, syncs, write = 0, 0, checkpoint._write

    def counted_write(*arguments):
        nonlocal saves, syncs
        saves, syncs = saves + 1, 0
        write(*arguments)

    def counted(sync):
        def count(argument):
            nonlocal syncs
            syncs += 1
            if (saves, syncs) == (save, moment):
                kill()
            return sync(argument)
        return count
    patch(checkpoint, "_write", counted_write)
    for name in ("_sync", "_sync_folder"):
        patch(checkpoint, name, counted(getattr(checkpoint, name)))


if __name__ == "__main__":
    from cmo_tf.main import import_tensorflow, main
    import_tensorflow()
    from cmo_tf.run import checkpoint
    kill_in(int(sys.argv[1]), int(sys.argv[2]), checkpoint, lambda: os.kill(os.getpid(), signal.SIGKILL))
    sys.exit(main(sys.argv[3:]))
