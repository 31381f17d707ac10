"""From a training run to a model file: operating points, calibration, expected input, card."""
