"""How often a detector sees faces in images that hold none."""

import numpy as np

from mtcnn_tf import faces
from mtcnn_tf.evaluation import reports

MIN_SCORES = (0.5, 0.7, 0.9)


def report(annotations: list[faces.Annotation], detections: list[faces.Detections]) -> reports.Report:
    """Counts of detections, and of images with any, from each of `MIN_SCORES` on.

    Raises:
        ValueError: An image is annotated with a face.
    """
    with_faces = [annotation.image_path for annotation in annotations if len(annotation.boxes)]
    if with_faces:
        raise ValueError(f"expected images without faces, got one with faces: {with_faces[0]!r}; choose another set")
    scores = np.concatenate([np.zeros(0, np.float32), *(found.scores for found in detections)])
    highest = np.array([found.scores.max(initial=-np.inf) for found in detections], np.float32)
    figures = {}
    for score in MIN_SCORES:
        which, title = f"score_{score:.0%}".rstrip("%"), f"score ≥ {score}"
        figures[f"num_fp_{which}"] = reports.Figure(int(np.sum(scores >= score)), f"{title}: false positives")
        num_images = int(np.sum(highest >= score))
        figures[f"num_images_with_fp_{which}"] = reports.Figure(num_images, f"{title}: images with any")
    steps = np.linspace(0, 1, 201)
    counts = np.array([np.sum(scores >= step) for step in steps])
    curve = reports.Curve(steps, counts, "score threshold", "false positives", y_scale="symlog")
    return reports.Report(figures, {"false positives": curve})


def worst(detections: list[faces.Detections], num_images: int) -> list[int]:
    """The places of the images with the highest scores, highest first; images without detections are left out."""
    with_any = [i for i, found in enumerate(detections) if len(found)]
    return sorted(with_any, key=lambda i: -detections[i].scores.max())[:num_images]
