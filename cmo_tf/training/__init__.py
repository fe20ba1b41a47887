"""Training: the classifier, checkpoints, distribution and the run itself."""
