"""From an image to faces: first stages, cascade, detector, what is stored beside them, and exports."""
