"""From acoustic scores to words: scaled log-likelihoods, graph search, tuning of the acoustic scale."""
