"""The class of `mtcnn` 1.0.0 (`from mtcnn import MTCNN`), by its calls and results; see docs/coming_from.md."""

import os
import warnings
from typing import Any

import numpy as np

from mtcnn_tf import arguments, faces
from mtcnn_tf.compat import translation

_BOXES_ALONE = "face_detection_only"
_STAGES = (_BOXES_ALONE, "face_and_landmarks_detection")
_DEVICE = "CPU:0"
_THRESHOLDS = {"threshold_pnet": "pnet", "threshold_rnet": "rnet", "threshold_onet": "onet"}
_KEYPOINTS = {"nose": 2, "mouth_right": 4, "right_eye": 1, "left_eye": 0, "mouth_left": 3}
"""Their names for our landmarks. *Left* is left in the image for both."""


class MTCNN:
    """Finds faces in images, one or several, and tells of them as `mtcnn.MTCNN` does.

    Args:
        stages: "face_and_landmarks_detection", or "face_detection_only" for results without keypoints. The whole
            cascade runs in either case; a list of stages stands for the first.
        device: Without meaning here: TensorFlow places the networks.
        model: The weights, or the folder of a detector; see `detector.load`. With "classic" the cascade has three
            networks, as theirs.

    Raises:
        FileNotFoundError: There is no detector at `model`.
        ValueError: `stages` is another name.
    """

    def __init__(
        self, stages: str | list = "face_and_landmarks_detection", device: str = _DEVICE, *, model: str = "default"
    ):
        given = {"stages": not isinstance(stages, str), "device": device != _DEVICE}
        if isinstance(stages, str):
            arguments.choice("stages", stages, _STAGES)
        translation.warn([name for name, is_given in given.items() if is_given])
        self._has_keypoints = stages != _BOXES_ALONE
        from mtcnn_tf.detection import detector  # loads TensorFlow

        self._find_faces = detector.load(model)

    def detect_faces(
        self,
        image: Any,
        fit_to_image: bool = True,
        limit_boundaries_landmarks: bool = False,
        box_format: str = "xywh",
        output_type: str = "json",
        postprocess: bool = True,
        batch_stack_justification: str = "center",
        *,
        min_face_size: float = 20,
        **kwargs: Any,
    ) -> list | np.ndarray:
        """The faces in one image, or in each of a list of images, best score first.

        Args:
            image: A path, the bytes of an image file, an array or tensor [H, W, 3] of RGB in 0–255; or a list of these,
                of any sizes. A path or bytes that are no image have no faces, and a warning says so.
            fit_to_image: Without meaning here: boxes always end within the image.
            limit_boundaries_landmarks: Whether keypoints beyond the image's edge are moved to it.
            box_format: "xywh" for boxes x, y, width, height; "xyxy" for the corners.
            output_type: "json" or "numpy".
            postprocess: Without meaning here, as is the next: images of a list are not padded.
            batch_stack_justification: See above.
            min_face_size: Side of the smallest face looked for, in pixels.
            **kwargs: `scale_factor`, of use where the cascade begins with P-Net; `threshold_pnet`, `threshold_rnet`
                and `threshold_onet`, in 0–1, each of use where the cascade has this network. By default the thresholds
                are those that were calibrated for the networks. Others change nothing, and a warning names them.

        Returns:
            For "json" a list of faces, or for a list of images a list of such lists. A face is a dict: "box", four
            ints; "confidence", in 0–1; "keypoints", a dict of points [x, y], ints, by the names "nose", "mouth_right",
            "right_eye", "left_eye" and "mouth_left".

            For "numpy" one array, float64 [N, 16], or [N, 6] without keypoints: index of the image, four numbers of
            the box, score, x of the left eye, right eye, nose, left and right corner of the mouth, then y of these.

        Raises:
            ValueError: An array is no image, or an argument is not as described.
        """
        arguments.choice("box_format", box_format, ("xywh", "xyxy"))
        arguments.choice("output_type", output_type, ("json", "numpy"))
        search, unused = self._search(kwargs)
        given = {
            "fit_to_image": not fit_to_image,
            "postprocess": not postprocess,
            "batch_stack_justification": batch_stack_justification != "center",
        }
        translation.warn([*(name for name, is_given in given.items() if is_given), *unused])

        images = image if isinstance(image, list) else [image]
        pixels = _readable(images)
        found = self._find_faces.batch(list(pixels.values()), min_face_size=min_face_size, **search)
        tables = [
            _table(i, pixels[i].shape, each, limit_boundaries_landmarks) for i, each in zip(pixels, found, strict=True)
        ]
        table = np.concatenate([np.zeros((0, 16)), *tables])[:, : 16 if self._has_keypoints else 6]
        if box_format == "xywh":
            table[:, 3:5] -= table[:, 1:3]
        if output_type == "numpy":
            return table
        listed = [[_face(row) for row in table if row[0] == i] for i in range(len(images))]
        return listed if isinstance(image, list) else listed[0]

    predict = detect_faces

    def _search(self, kwargs: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Arguments for a call of the detector, and the names of those that it has no use for."""
        has_pyramid = "pnet" in self._find_faces.stages
        search, unused, wanted = {}, [], {}
        for name, value in kwargs.items():
            stage = _THRESHOLDS.get(name)
            if stage in self._find_faces.stages:
                wanted[stage] = value
            elif name == "scale_factor" and has_pyramid:
                search[name] = value
            else:
                is_of_classic = stage is not None or name == "scale_factor"
                unused.append(f"{name} (it would with model='classic')" if is_of_classic else name)
        return {**search, "thresholds": translation.thresholds(self._find_faces, wanted)}, unused


def _readable(images: list) -> dict[int, np.ndarray]:
    """Pixels, uint8 [H, W, 3], by index; of paths and bytes that are no image a warning, for there mtcnn is silent."""
    pixels = {}
    for i, image in enumerate(images):
        try:
            pixels[i] = translation.as_pixels(image)
        except (OSError, ValueError) as error:
            if not isinstance(image, str | bytes | os.PathLike):
                raise
            warnings.warn(f"counted as an image without faces, as mtcnn does: {error}", stacklevel=3)
    return pixels


def _table(index: int, shape: tuple[int, ...], found: faces.Detections, limit_landmarks: bool) -> np.ndarray:
    """Their array of the faces in one image, float64 [N, 16], boxes as corners that are pixels of the image.

    Raises:
        ValueError: The detector finds other landmarks than five.
    """
    if found.landmarks.shape[1] != len(_KEYPOINTS):
        raise ValueError(
            f"expected a detector of the five landmarks that mtcnn names, got one of {found.landmarks.shape[1]}; "
            "mtcnn_tf.load finds any"
        )
    last = np.array([shape[1] - 1, shape[0] - 1])
    boxes = np.clip(found.boxes, 0, np.tile(last, 2))
    landmarks = np.clip(found.landmarks, 0, last) if limit_landmarks else found.landmarks
    points = landmarks.transpose(0, 2, 1).reshape(-1, 10)
    return np.column_stack([np.full(len(found), index, np.float64), boxes, found.scores, points])


def _face(row: np.ndarray) -> dict[str, Any]:
    """Their dict of one face; without keypoints where these are unknown."""
    face: dict[str, Any] = {"box": np.rint(row[1:5]).astype(int).tolist(), "confidence": float(row[5])}
    if len(row) == 16 and np.isfinite(row[6:]).all():
        points = np.rint(row[6:]).astype(int).reshape(2, 5).T.tolist()
        face["keypoints"] = {name: points[i] for name, i in _KEYPOINTS.items()}
    return face
