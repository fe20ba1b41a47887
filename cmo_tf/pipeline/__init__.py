"""The P and Q streams: every batch is a pure function of (seed, step)."""

from cmo_tf.pipeline.fetch import eval_batches
from cmo_tf.pipeline.order import steps_per_epoch
from cmo_tf.pipeline.records import minority_stream, zip_streams
from cmo_tf.pipeline.stream import train_stream

__all__ = ["eval_batches", "minority_stream", "steps_per_epoch", "train_stream", "zip_streams"]
