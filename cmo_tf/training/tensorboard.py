"""TensorBoard files of a run, written from its history: a resumed run starts them anew and repeats no point."""

import os

import tensorflow as tf

from cmo_tf.evaluation import report_md

ACCURACIES = ("all", "many", "medium", "few", "val_all", "val_balanced")
SCALARS = ("loss", "lr", "images_per_second", *ACCURACIES)


class Board:
    """Writes scalars, hyper-parameters, the mixing panel and the class counts.

    Args:
        directory: of the event files.
        config, data: of the run.
    """

    def __init__(self, directory, config, data):
        self.directory, self.config, self.data = directory, config, data
        self.written, self.writer = 0, None

    def restart(self) -> None:
        """Removes what an earlier session wrote; the history holds all of it."""
        os.makedirs(self.directory, exist_ok=True)
        for name in os.listdir(self.directory):
            if ".tfevents." in name:
                os.remove(os.path.join(self.directory, name))
        self.writer = tf.summary.create_file_writer(self.directory)
        with self.writer.as_default(step=0):
            _hparams(self.config)
            tf.summary.image("class counts", _bars(self.data.counts)[None])
            tf.summary.text("flags", "\n\n".join(self.config.arguments()))
            tf.summary.text("classes", _classes(self.data))
        self.writer.flush()

    def panel(self, picture) -> None:
        """The picture of P, Q and mixed images."""
        with self.writer.as_default(step=0):
            tf.summary.image("background, foreground, mixed", picture[None])

    def write(self, history) -> None:
        """Points of the rows that are not written yet; the step is the epoch."""
        with self.writer.as_default():
            for row in history[self.written:]:
                for name in SCALARS:
                    if row.get(name) is not None:
                        tag = f"accuracy/{name}" if name in ACCURACIES else name
                        tf.summary.scalar(tag, row[name], step=row["epoch"])
        self.written = len(history)
        self.writer.flush()

    def finish(self, accuracy) -> None:
        """The final accuracy, which the HParams table shows, and the end of the file."""
        with self.writer.as_default():
            for group, value in accuracy.items():
                if value is not None:
                    tf.summary.scalar(f"final/{group}", value, step=self.config.epochs)
        self.writer.close()


def _hparams(config):
    from tensorboard.plugins.hparams import api
    chosen = {k: v for k, v in vars(config).items() if k not in ("run_dir", "data_dir", "mode")}
    api.hparams({k: v if isinstance(v, (bool, int, float, str)) else str(v) for k, v in chosen.items()})


def _classes(data):
    """A Markdown table of the classes by name, largest first, at most 1000."""
    group = {place: name for name, places in data.groups.items() for place in places.tolist()}
    order = sorted(range(data.num_classes), key=lambda k: -data.counts[k])[:1000]
    rows = [[data.class_names[k], data.counts[k], group[k]] for k in order]
    return report_md.table(["class", "training images", "group"], rows, numbers=(1,))


def _bars(counts):
    """uint8 (H, W, 4): training images of every class, largest first, on a log axis."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure(figsize=(6, 3), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.bar(range(len(counts)), sorted(counts, reverse=True), width=0.9, color="#3b6ea8")
    axes.set(xlabel="class, by size", ylabel="training images", yscale="log", title=f"{int(sum(counts))} images")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())
