"""Scores any detector, a function from an image (RGB, uint8 [H, W, 3]) to `faces.Detections`, by public protocols.

`protocols` has each as a function, which `mtcnn-evaluate` and notebooks call: `subset` says which images are looked at;
`saved_detections` looks for faces in them and keeps what was found; `wider_face`, `fddb`, `landmarks`, `proposals`,
`false_positives` and `breakdown` turn that into a `reports.Report`: NumPy alone, without a detector. `curves` holds
what they share. `calibration` chooses a cascade's thresholds.
"""
