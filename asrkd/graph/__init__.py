"""The decoding graph: OpenFst files and arrays, HCLG, and a graph opened for the search."""
