"""Filterbanks and MFCC, normalisation per speaker, context windows."""
