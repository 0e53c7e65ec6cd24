"""Jobs of the model registry: training, reports, drift."""
