"""`--mode=inspect`: what a set of pictures is like, what is wrong with it, and flags to train on it."""
