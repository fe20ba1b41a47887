"""A training run: its folder, stages, state, checkpoints, and what ends or resumes it."""
