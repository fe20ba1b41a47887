"""The P and Q streams: every batch is a pure function of (seed, step)."""

from cmo_tf.pipeline.records import minority_stream, zip_streams
from cmo_tf.pipeline.stream import eval_batches, train_stream

__all__ = ["eval_batches", "minority_stream", "train_stream", "zip_streams"]
