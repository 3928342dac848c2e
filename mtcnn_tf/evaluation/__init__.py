"""Scores any detector, a function from a picture (RGB, uint8 [H, W, 3]) to `faces.Detections`, by public protocols.

`runs` looks for faces in the pictures and keeps what was found; `wider_face`, `fddb`, `landmarks`, `proposals` and
`false_positives` turn that into a `reports.Report`: NumPy alone, without a detector. `curves` holds what they share.
"""
