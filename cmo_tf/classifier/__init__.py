"""LongTailClassifier, its training step, its evaluator, and how a Config becomes the objects of a run."""
