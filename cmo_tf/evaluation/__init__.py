"""What a run says about itself: accuracy by shot group, calibration, results.json, the report (no TensorFlow)."""
