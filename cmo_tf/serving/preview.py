"""`--mode=preview`: what training would see under the given flags, as pictures, without training."""

import os

import numpy as np
import tensorflow as tf

from cmo_tf.core.errors import UserError
from cmo_tf.mixing import MIXERS
from cmo_tf.monitoring import event_file, tiles
from cmo_tf.pipeline import eval_batches
from cmo_tf.report.results import write_atomically
from cmo_tf.run import data as run_data
from cmo_tf.run import folder, panel, split_file
from cmo_tf.serving.interrupt import ending
from cmo_tf.serving.whole_folder import whole_folder

FOLDER = "preview"
NAMES = ("p", "q", "mixed", "contexts")
ROWS, COLUMNS = 32, 8
# One rare image on this many contexts, of so many drawn; kept are those with a plan between these shares.
CONTEXTS, DRAWN, SHARES = 15, 96, (0.2, 0.8)
CANVAS = {"p": "P: images in the order of training", "q": "Canvases drawn from Q, where rare classes are frequent"}
PARTNER = {"q": "Q: foregrounds, drawn with rare classes frequent", "p": "P: what is pasted, images of training",
           "permuted": "Partners: other images of the same batch"}


def run(config, files, arguments) -> int:
    """Writes p.png, q.png, mixed.png and contexts.png into the folder `preview` of `--run_dir`, and into TensorBoard;
    without a mixer p.png alone. Returns the exit code.

    Raises:
        UserError: bad data, a folder that holds a run with other flags.
    """
    run_dir = config.run_dir or folder.default_run_dir(files, config.seed)
    config = _agree(run_dir, config, arguments)
    target = os.path.join(run_dir, FOLDER)
    known = {f"{name}.png" for name in NAMES}
    if os.path.isdir(target) and set(os.listdir(target)) - known:
        raise UserError(f"--run_dir={run_dir}: its folder {FOLDER} holds something else than a preview; name another")
    folder.check_writable(run_dir)
    data = run_data.load(config, split_file.read(run_dir))
    with ending():
        found = pictures(config, data)
        with whole_folder(target, "run_dir") as place:
            for name, picture in found.items():
                write_atomically(os.path.join(place, f"{name}.png"), tiles.png(picture))
        _to_tensorboard(os.path.join(run_dir, "tensorboard", FOLDER), found)
    for name in found:
        print(os.path.join(target, f"{name}.png"))
    if len(found) == 1:
        print(f"--mix={config.mix}: mixes nothing, so there is nothing more to show")
    return 0


def pictures(config, data) -> dict[str, np.ndarray]:
    """Name -> uint8 (height, width, 3) of NAMES: the first images of training as the network sees them, each mixed
    whatever coin and window say; only the first of them without a mixer."""
    mixes = MIXERS[config.mix].partner is not None
    batch, mixer, mixed = panel.mixture(config, data, DRAWN if mixes else ROWS)
    cell = tiles.cell_of(data.image_shape)

    def sheet(title, column, captions):
        return tiles.sheet(title, column[:ROWS], captions[:ROWS], COLUMNS, cell)
    found = {"p": sheet(f"{CANVAS[mixer.canvas]} ({config.dataset}, augmented by {data.augment})", batch["image"],
                        _classes(data, batch["label"]))}
    if mixes:
        found["q"] = sheet(f"{PARTNER[mixer.partner]} (--mix={config.mix})", batch["image_q"],
                           _classes(data, batch["label_q"]))
        found["mixed"] = sheet(f"Mixed by --mix={config.mix}: the classes and their shares of the label",
                               mixed["image"], _shares(data, mixed))
        found["contexts"] = _contexts(config, data, mixer, batch, cell)
    return found


def _contexts(config, data, mixer, batch, cell):
    """One image of the rarest class, mixed with many others: Figure 2 of the paper."""
    rare = int(np.argmin(np.where(data.counts > 0, data.counts, data.counts.max() + 1)))
    row = np.flatnonzero(data.train.labels == rare)[:1]
    image = next(iter(eval_batches(data.train.images[row], size=data.size, decode=data.decode)))
    # The rare image is what Q gives: the foreground, or the canvas of a mixer that turns the roles round.
    side = ("image", "label") if mixer.canvas == "q" and mixer.partner == "p" else ("image_q", "label_q")
    other = "label" if side[1] == "label_q" else "label_q"
    many = {**batch, side[0]: tf.cast(tf.repeat(image, len(batch["label"]), axis=0), batch[side[0]].dtype),
            side[1]: tf.fill(tf.shape(batch[side[1]]), tf.cast(rare, batch[side[1]].dtype))}
    mixed = mixer(many, training=True)
    lam, differs = batch["lam"].numpy(), batch[other].numpy() != rare
    fit = differs & (lam >= SHARES[0]) & (lam <= SHARES[1])
    best = np.sort(np.argsort(~fit, kind="stable")[:CONTEXTS])
    chosen = {key: tf.gather(value, best) for key, value in mixed.items()}
    name, count = data.class_names[rare], data.counts[rare]
    title = f"One image of the rarest class, {name} ({count} training images), mixed with others by --mix={config.mix}"
    images = [image[0], *chosen["image"]]
    return tiles.sheet(title, images, [f"{name}\nas it is", *_shares(data, chosen)], COLUMNS, cell)


def _classes(data, labels):
    return [f"{data.class_names[k]}\n{data.counts[k]} images" for k in labels.numpy()]


def _shares(data, mixed):
    columns = zip(*(mixed[key].numpy() for key in ("label", "label_q", "lam")), strict=True)
    return [f"{data.class_names[a]}: {lam:.0%}\n{data.class_names[b]}: {1 - lam:.0%}" for a, b, lam in columns]


def _agree(run_dir, config, arguments):
    """The Config to show: that of a run which is there already, which the command line must not contradict."""
    if not os.path.exists(os.path.join(run_dir, "flags.cfg")):
        return config
    held, asked = folder.read_config(run_dir), folder.read_config(run_dir, arguments)
    wrong = [flag for flag in asked.arguments() if flag not in held.arguments()
             and flag.removeprefix("--no").lstrip("-").split("=")[0] not in folder.FREE]
    if wrong:
        raise UserError(f"{wrong[0]}: --run_dir={run_dir} holds a run with other flags; name another --run_dir")
    return asked


def _to_tensorboard(directory, found):
    """One point for each picture; those of an earlier preview go."""
    file = event_file.restart(directory)
    for name, picture in found.items():
        file.add(0, event_file.picture(f"preview/{name}", picture, tiles.png(picture)))
    file.close()
