"""The sample set of `make demo`: made-up scenes with real portraits. The installed package goes without it."""
