"""Measurements of speed, always as the ratio of two things timed in one run; see README.md."""
