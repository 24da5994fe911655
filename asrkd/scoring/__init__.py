"""Word error rate, frame accuracy, calibration, and whether a difference between systems is more than chance."""
