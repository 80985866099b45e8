"""Differential privacy: the noise source, the accounting and the calibration. One place each."""
