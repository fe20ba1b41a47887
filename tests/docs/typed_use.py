"""A user's script as `make lint` sees it: what may be written, and, marked, what a type checker must refuse."""

import numpy as np

import cmo_tf
from cmo_tf import callbacks, long_tail, losses, models, optim, pipeline, sampling
from cmo_tf.evaluation import calibration, metrics

counts: list[int] = long_tail.class_counts(10, max_count=150, imbalance_ratio=20)
kept: np.ndarray = long_tail.select_indices([0, 1, 2], [1, 1, 1])
share: np.ndarray = sampling.class_distribution(counts, power=0.5)
groups: dict[str, np.ndarray] = long_tail.shot_groups(counts)
layer: cmo_tf.CMO = cmo_tf.CMO(probability=0.5, seed=0)
weighted: losses.LongTailLoss = losses.LDAM(counts, max_margin=0.3)
mixed = losses.Mixed(losses.BalancedSoftmax(np.array(counts)))
weights: np.ndarray = callbacks.DRW(counts, start_epoch=160).weights(160)
model = cmo_tf.LongTailClassifier(models.create("resnet20", 10, (8, 8, 1)), mixer=layer)
model.compile(optim.SGD(0.1, l2=2e-4), weighted)
model.fit(pipeline.train_stream(np.zeros((3, 8, 8, 1)), [0, 1, 2], batch_size=2, seed=0), steps_per_epoch=2)
found: float | None = metrics.macro_accuracy([0, 1], [0, 1], num_classes=2)
bins: calibration.Reliability = calibration.reliability([0], [0], [0.5])

long_tail.class_counts("ten", 150, 20)  # type: ignore[arg-type]
losses.LDAM(counts, max_margin="large")  # type: ignore[arg-type]
losses.Mixed("ce")  # type: ignore[arg-type]
cmo_tf.CMO(propability=1.0, seed="0")  # type: ignore[arg-type]
callbacks.DRW(counts)  # type: ignore[call-arg]
sampling.class_distribution(counts, power="1/2")  # type: ignore[arg-type]
