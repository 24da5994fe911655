"""Language data: lexicon, phones, n-grams, and transducers as arrays and files. Imports only core."""
