"""The decoding graph: HCLG, and a graph opened for the search."""
