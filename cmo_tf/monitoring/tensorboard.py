"""TensorBoard files of a run, written from its history: a resumed run starts them anew and repeats no point."""

import os

from cmo_tf.monitoring import event_file, hparams, tiles
from cmo_tf.monitoring.event_file import picture, scalar, text
from cmo_tf.report import report_md

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
        self.written, self.file = 0, None

    def restart(self) -> None:
        """Removes what an earlier session wrote; the history holds all of it."""
        if self.file:
            self.file.close()
        self.written, self.file = 0, event_file.restart(self.directory)
        name = os.path.basename(os.path.dirname(os.path.abspath(self.directory)))
        self.file.add(0, hparams.began(self.config, name))
        self._show("class counts", _bars(self.data.counts))
        self.file.add(0, text("flags", "\n\n".join(self.config.arguments())))
        self.file.add(0, text("classes", _classes(self.data)))

    def panel(self, image) -> None:
        """The picture of P, Q and mixed images."""
        self._show("background, foreground, mixed", image)

    def _show(self, tag, image):
        self.file.add(0, picture(tag, image, tiles.png(image)))

    def write(self, history) -> None:
        """Points of the rows that are not written yet; the step is the epoch."""
        for row in history[self.written:]:
            for name in SCALARS:
                if row.get(name) is not None:
                    tag = f"accuracy/{name}" if name in ACCURACIES else name
                    self.file.add(row["epoch"], scalar(tag, row[name]))
        self.written = len(history)

    def finish(self, accuracy) -> None:
        """The final accuracy, which the HParams table shows, and the end of the file."""
        for group, value in accuracy.items():
            if value is not None:
                self.file.add(self.config.epochs, scalar(f"final/{group}", value))
        self.file.add(self.config.epochs, hparams.ended())
        self.file.close()


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
