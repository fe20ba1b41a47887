"""The published algorithm in PyTorch, written from the paper: what the figures of this project are held against."""
