"""Boxes, anchors and mirrored results as formulas: each once, on arrays, and beside it its twin in the graph."""
