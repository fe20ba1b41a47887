"""What methods change in a training step, where that takes more than a page: they import TensorFlow, methods do not."""
