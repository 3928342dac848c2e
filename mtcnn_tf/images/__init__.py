"""Pixels: files and films read and written, mip levels and what is cut from them, alignment, drawing."""
