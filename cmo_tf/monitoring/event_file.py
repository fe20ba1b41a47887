"""A TensorBoard event file that says when it cannot be written.

TensorFlow's own writer ignores what becomes of a record: on a full disk a picture is lost or torn without a word, and
readers stop at the torn one.
"""

import os
import socket
import time

import numpy as np

from cmo_tf.core import disk


class EventFile:
    """Summaries, one record each, on disk when `add` returns.

    Args:
        directory: where a new file is made.
    """

    def __init__(self, directory: str):
        from tensorboard.summary.writer.record_writer import RecordWriter
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.v2"
        self.path = os.path.join(directory, name)
        with disk.writing(self.path, disk.BLOCK):
            self.records = RecordWriter(open(self.path, "wb"))  # noqa: SIM115 - closed in close()
        self._write(file_version="brain.Event:2")

    def add(self, step: int, summary) -> None:
        """Appends a tensorboard Summary. UserError where there is no room."""
        self._write(step=step, summary=summary)

    def close(self) -> None:
        """The end of the file."""
        self.records.close()

    def _write(self, **content):
        from tensorboard.compat.proto.event_pb2 import Event
        data = Event(wall_time=time.time(), **content).SerializeToString()
        with disk.writing(self.path, len(data)):
            self.records.write(data)
            self.records.flush()


def restart(directory: str) -> EventFile:
    """A new file in a folder, made if need be; those of earlier sessions go."""
    with disk.writing(directory, disk.BLOCK):
        os.makedirs(directory, exist_ok=True)
    for name in os.listdir(directory):
        if ".tfevents." in name:
            os.remove(os.path.join(directory, name))
    return EventFile(directory)


def scalar(tag: str, value: float):
    """Summary of a number."""
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    return scalar_pb(tag, np.float32(value))


def text(tag: str, markdown: str):
    """Summary of a text."""
    from tensorboard.plugins.text.summary_v2 import text_pb
    return text_pb(tag, markdown.encode("utf-8", "backslashreplace"))  # names of files may be no UTF-8


def picture(tag: str, image: np.ndarray, png: bytes):
    """Summary of a picture: `image` (H,W,C) is what `png` holds."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.image.metadata import create_summary_metadata
    from tensorboard.util.tensor_util import make_tensor_proto
    metadata = create_summary_metadata(display_name=None, description=None)
    sizes = [str(image.shape[1]).encode(), str(image.shape[0]).encode()]
    tensor = make_tensor_proto([*sizes, png], dtype=np.object_)
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])
