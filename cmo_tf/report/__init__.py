"""What a run says about itself: results.json, the report, comparisons of runs (no TensorFlow)."""
