"""Language data: lexicon, phones, lexicon transducers, n-gram. Imports only core."""
