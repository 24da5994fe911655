"""Acoustic-model distillation for speech recognition: ensemble, soft targets, student, WER."""

__version__ = "0.1.0"
