"""The commands that come with the package, and what they share."""
