"""What is shown of a run while it lasts: progress and log, TensorBoard, rows of pictures. They know no run."""
