"""Tied states: topology, GMM bootstrap, decision tree, forced alignment, and Kaldi's own files for all of them."""
