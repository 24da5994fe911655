"""Corpora: each file prepares or makes one kind, as parts in LibriSpeech's layout or as data dirs."""
