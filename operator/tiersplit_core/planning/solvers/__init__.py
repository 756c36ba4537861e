"""One solver per file; independent of each other."""
