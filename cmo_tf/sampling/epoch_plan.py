"""What the batches of an epoch hold, without TensorFlow: order of P, draws from Q, crops, flips and boxes, in numpy.

The same numbers as `pipeline.train_stream` with the CIFAR augmentation draws: batch k of both is the same pictures.
"""

import numpy as np

from cmo_tf.core.class_counts import check_labels
from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike
from cmo_tf.mixing.boxes import cut_box
from cmo_tf.sampling import philox
from cmo_tf.sampling.distribution import ClassTable, Draw, class_distribution, class_table


def epoch_plan(labels: ArrayLike, epoch: int, *, batch_size: int, seed: int, size: tuple[int, int] = (32, 32),
               pad: int = 4, probability: float = 0.5, q_power: float = 1.0) -> dict[str, np.ndarray]:
    """Plan of the N rows of an epoch, in order: rows `[k * batch_size, (k + 1) * batch_size)` are its batch k.

    Args:
        labels: (N,) integers of the training set.
        epoch: counted from 0.
        batch_size: B; the last batch is short where B does not divide N.
        seed: of the run; every draw follows from it and the step.
        size: (height, width) of the images; pad: pixels of the border that crops are moved in.
        probability: of mixing a batch; 0 in epochs outside of the window.
        q_power: of Q, see `sampling.class_distribution`.

    Returns:
        dict of arrays of N rows: `index`, `index_q` int32, row numbers in the set (equal in unmixed batches);
        `corner`, `corner_q` int32 (N, 2), top and left of the crop in the padded image; `flip`, `flip_q` bool;
        `box` int32 (N, 4), y0, x0, y1, x1 of the patch, one for a batch and empty in unmixed ones; `mixed` bool.

    Raises:
        UserError: labels that are no integers from 0 on, a batch size below 1, a probability outside of [0, 1].

    Examples:
        >>> plan = epoch_plan([0, 0, 0, 0, 1], 0, batch_size=2, seed=0, probability=1.0)
        >>> sorted(plan["index"].tolist()), plan["box"].shape
        ([0, 1, 2, 3, 4], (5, 4))
    """
    labels = np.asarray(labels)
    check_labels(labels, None, "epoch_plan: labels")
    if batch_size < 1:
        raise UserError(f"epoch_plan: batch_size {batch_size} is below 1")
    if not 0 <= probability <= 1:
        raise UserError(f"epoch_plan: probability {probability} is not in [0, 1]")
    table = class_table(labels, class_distribution(np.bincount(labels), q_power))
    order = philox.permutation(len(labels), stateless_seed(seed, Draw.ORDER, epoch))
    first = epoch * -(-len(labels) // batch_size)
    full, rest = divmod(len(labels), batch_size)
    parts = [_steps(seed, first + np.arange(full), batch_size, table, size, pad, probability)]
    if rest:
        parts.append(_steps(seed, first + np.array([full]), rest, table, size, pad, probability))
    plan = {name: np.concatenate([part[name].reshape(-1, *part[name].shape[2:]) for part in parts])
            for name in parts[0]}
    index_q = np.where(plan["mixed"], plan["index_q"], order)
    return {**plan, "index": order.astype(np.int32), "index_q": index_q.astype(np.int32)}


def stateless_seed(seed: int, draw: Draw, step: ArrayLike) -> np.ndarray:
    """Seeds (..., 2) of one kind of draw at steps (...), as `pipeline.plan.stateless_seed` makes them."""
    return philox.fold_in(np.array([seed, int(draw)], np.int64), step)


def shares(box: np.ndarray, size: tuple[int, int] = (32, 32)) -> np.ndarray:
    """lam, the exact share of pixels that boxes (..., 4) leave, float32 (...).

    Examples:
        >>> shares(np.array([[0, 0, 16, 32], [0, 0, 0, 0]])).tolist()
        [0.5, 1.0]
    """
    area = (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])
    return (1.0 - area / (size[0] * size[1])).astype(np.float32)


def _steps(seed, steps, rows, table, size, pad, probability):
    """Columns (steps, rows, ...) of what each of the given steps, of `rows` rows, draws for itself."""
    mixed, box = _boxes(stateless_seed(seed, Draw.PLAN, steps), size, probability)
    shape = (len(steps), rows)
    plan = {"index_q": _foregrounds(stateless_seed(seed, Draw.FOREGROUND, steps), rows, table),
            "mixed": np.broadcast_to(mixed[:, None], shape), "box": np.broadcast_to(box[:, None], (*shape, 4))}
    for suffix, draw in (("", Draw.AUGMENT), ("_q", Draw.AUGMENT_FOREGROUND)):
        values = philox.uniform32(stateless_seed(seed, draw, steps), 3 * rows).reshape(*shape, 3)
        room = np.float32(2 * pad + 1)
        plan[f"corner{suffix}"] = np.minimum((values[..., :2] * room).astype(np.int32), 2 * pad)
        plan[f"flip{suffix}"] = values[..., 2] < 0.5
    return plan


def _boxes(seeds, size, probability):
    """(mixed (S,), box (S, 4)) of the plans of S steps, a uniform share and centre each."""
    coin, share, center = np.moveaxis(philox.split(seeds, 3), -2, 0)
    mixed = philox.uniform(coin, 1)[:, 0] < probability
    middle = (philox.uniform(center, 2) * size).astype(np.int32)
    box = np.stack(cut_box(philox.uniform(share, 1)[:, 0], middle[:, 0], middle[:, 1], *size), axis=-1)
    return mixed, np.where(mixed[:, None], box, 0).astype(np.int32)


def _foregrounds(seeds, rows, table: ClassTable):
    """Indices (S, rows) drawn from Q with replacement: a class, then one of its images."""
    values = philox.uniform(seeds, 2 * rows).reshape(-1, 2, rows)
    label = np.searchsorted(table.cumulative, values[:, 0], side="right")
    size = table.size[label]
    offset = np.minimum((values[:, 1] * size).astype(np.int64), size - 1)
    return table.order[table.start[label] + offset]
