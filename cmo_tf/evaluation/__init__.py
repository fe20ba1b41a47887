"""Numbers about predictions: accuracy by shot group, calibration, temperature, priors, estimates (no TensorFlow)."""
