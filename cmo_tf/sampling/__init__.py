"""Which images training draws: Q, the distribution of foregrounds, and the samplers of P (numpy only)."""

from cmo_tf.sampling.distribution import KINDS, LEVELS, ClassTable, class_distribution, class_table

__all__ = ["KINDS", "LEVELS", "ClassTable", "class_distribution", "class_table"]
