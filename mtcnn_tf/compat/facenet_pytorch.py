"""The detector of `facenet_pytorch` 2.6 (`from facenet_pytorch import MTCNN`), by its calls and results.

Faces are tensors of torch where it is installed, and arrays of the same shapes where it is not. docs/coming_from.md
tells how theirs maps to ours.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from mtcnn_tf import arguments, faces
from mtcnn_tf.compat import translation
from mtcnn_tf.images import image_files

_METHODS = ("probability", "largest", "largest_over_threshold", "center_weighted_size")
_NETWORKS = ("pnet", "rnet", "onet")


class MTCNN:
    """Finds faces in images, and cuts them out, as `facenet_pytorch.MTCNN` does.

    An image is a Pillow image, or an array or tensor [H, W, 3] of RGB in 0–255. Several are a list or tuple, or one
    array or tensor [B, H, W, 3]; in a list they may be of any sizes.

    Args:
        image_size: Side of the faces that are cut out, in pixels.
        margin: What is added to a box, in pixels of the face that is cut out.
        min_face_size: Side of the smallest face looked for, in pixels.
        thresholds: Scores in 0–1 after P-Net, R-Net and O-Net, each of use where the cascade has this network. None for
            those that were calibrated for the networks.
        factor: Ratio of neighbouring scales of P-Net's pyramid, of use where the cascade begins with P-Net.
        post_process: Whether the colours of faces are standardised; see `fixed_image_standardization`.
        select_largest: Whether the largest face comes first, instead of the one with the best score.
        selection_method: Which face a call returns: "largest", "probability", "largest_over_threshold" or
            "center_weighted_size"; None for one of the first two, by `select_largest`.
        keep_all: Whether a call returns all faces.
        device: Without meaning here: TensorFlow places the networks.
        model: The weights, or the folder of a detector; see `detector.load`. With "classic" the cascade has three
            networks, as theirs.

    Raises:
        FileNotFoundError: There is no detector at `model`.
        ValueError: An argument is not as described.
    """

    def __init__(
        self,
        image_size: int = 160,
        margin: float = 0,
        min_face_size: float = 20,
        thresholds: Sequence[float] | None = None,
        factor: float | None = None,
        post_process: bool = True,
        select_largest: bool = True,
        selection_method: str | None = None,
        keep_all: bool = False,
        device: Any = None,
        *,
        model: str = "default",
    ):
        method = selection_method or ("largest" if select_largest else "probability")
        self.selection_method = arguments.choice("selection_method", method, _METHODS)
        self.image_size, self.margin, self.post_process = image_size, margin, post_process
        self.select_largest, self.keep_all = select_largest, keep_all
        wanted = {} if thresholds is None else dict(zip(_NETWORKS, arguments.thresholds(thresholds, 3), strict=True))
        from mtcnn_tf.detection import detector  # loads TensorFlow

        self._find_faces = detector.load(model)
        stages = self._find_faces.stages
        self._search: dict[str, Any] = {
            "min_face_size": min_face_size,
            "thresholds": translation.thresholds(self._find_faces, wanted),
        }
        if factor is not None and "pnet" in stages:
            self._search["scale_factor"] = factor
        given = {
            "device": device is not None,
            "thresholds of P-Net and R-Net (they would with model='classic')": not set(wanted) <= set(stages),
            "factor (it would with model='classic')": factor is not None and "pnet" not in stages,
        }
        translation.warn([name for name, is_given in given.items() if is_given])

    def __call__(self, img: Any, save_path: str | Sequence[str] | None = None, return_prob: bool = False) -> Any:
        """What `forward` returns, which a class that is derived from this one may have overridden."""
        return self.forward(img, save_path, return_prob)

    def forward(self, img: Any, save_path: str | Sequence[str] | None = None, return_prob: bool = False) -> Any:
        """The face, or with `keep_all` the faces, in one image or in each of several.

        Args:
            img: One image, or several; see the class.
            save_path: Where to write the face as an image, with its colours as they are; a list of paths for several
                images. The second face of an image goes to NAME_2.png where the first goes to NAME.png.
            return_prob: Whether the scores are returned, too.

        Returns:
            float32 [3, image_size, image_size], with `keep_all` [N, 3, image_size, image_size], None where no face was
            found; for several images a list of these. With `return_prob` a pair: that, and the scores that `detect`
            returns, or of one selected face its score.
        """
        boxes, scores, landmarks = self.detect(img, landmarks=True)
        if not self.keep_all:
            boxes, scores, landmarks = self.select_boxes(boxes, scores, landmarks, img, self.selection_method)
        found = self.extract(img, boxes, save_path)
        return (found, scores) if return_prob else found

    def detect(self, img: Any, landmarks: bool = False) -> tuple:
        """All faces in one image or in each of several: boxes, scores and, if wanted, landmarks.

        Args:
            img: One image, or several; see the class.
            landmarks: Whether landmarks are returned, too.

        Returns:
            Boxes float32 [N, 4], scores float32 [N] and landmarks float32 [N, 5, 2]; or None, [None] and None where no
            face was found. For several images each is an array of objects [B] of what one image has.

        Raises:
            ValueError: What came is no image.
        """
        images, is_batch = _images(img)
        results = [self._result(found) for found in self._find_faces.batch(images, **self._search)]
        columns = [[result[i] for result in results] for i in range(3 if landmarks else 2)]
        return tuple(_objects(column) if is_batch else column[0] for column in columns)

    def _result(self, found: faces.Detections) -> tuple:
        if not len(found):
            return None, [None], None
        order = np.argsort(-_areas(found.boxes), kind="stable") if self.select_largest else np.arange(len(found))
        return found.boxes[order], found.scores[order], found.landmarks[order]

    def select_boxes(
        self,
        all_boxes: Any,
        all_probs: Any,
        all_points: Any,
        imgs: Any,
        method: str = "probability",
        threshold: float = 0.9,
        center_weight: float = 2.0,
    ) -> tuple:
        """One face of each image, of what `detect` returned: boxes, scores and landmarks.

        Args:
            all_boxes: See `detect`, as for the next two.
            all_probs: See `detect`.
            all_points: See `detect`.
            imgs: The image, or the images.
            method: "probability", "largest", "largest_over_threshold" (of those with a score above `threshold`), or
                "center_weighted_size": area minus the weighted square of the distance from the image's centre.
            threshold: See above.
            center_weight: See above.

        Returns:
            As `detect` does, with N = 1; of one image its score alone, None where there is no face.
        """
        arguments.choice("method", method, _METHODS)
        images, is_batch = _images(imgs)
        batch = (all_boxes, all_probs, all_points) if is_batch else ([all_boxes], [all_probs], [all_points])
        results = []
        for image, *columns in zip(images, *batch, strict=True):
            best = None
            if columns[0] is not None:
                columns = [np.asarray(column) for column in columns]
                best = _best(method, image, columns[0], columns[1], threshold, center_weight)
            results.append((None, [None], None) if best is None else tuple(column[[best]] for column in columns))
        if is_batch:
            return tuple(_objects([result[i] for result in results]) for i in range(3))
        boxes, scores, landmarks = results[0]
        return boxes, scores[0], landmarks

    def extract(self, img: Any, batch_boxes: Any, save_path: str | Sequence[str] | None) -> Any:
        """The faces in boxes that `detect` or `select_boxes` returned; see `forward`.

        Raises:
            ValueError: There are not as many paths as images.
        """
        images, is_batch = _images(img)
        paths = [save_path] * len(images) if save_path is None or isinstance(save_path, str) else list(save_path)
        if len(paths) != len(images) or (isinstance(save_path, str) and len(images) > 1):
            raise ValueError(f"expected a save_path for each of {len(images)} images, got {arguments.shown(save_path)}")
        found = [
            None if boxes is None else self._extract(image, boxes, path)
            for image, boxes, path in zip(images, batch_boxes if is_batch else [batch_boxes], paths, strict=True)
        ]
        return found if is_batch else found[0]

    def _extract(self, image: np.ndarray, boxes: np.ndarray, path: str | None) -> Any:
        stem, ending = os.path.splitext(path or "")
        crops = [
            _crop(image, box, self.image_size, self.margin, path and (f"{stem}_{i}{ending}" if i > 1 else path))
            for i, box in enumerate(boxes if self.keep_all else boxes[:1], 1)
        ]
        crops = [fixed_image_standardization(crop) if self.post_process else crop for crop in crops]
        return _as_tensor(np.stack(crops) if self.keep_all else crops[0])

    def eval(self) -> "MTCNN":
        """This detector, which knows no other mode."""
        return self

    def to(self, *args: Any, **kwargs: Any) -> "MTCNN":
        """This detector, where it is: TensorFlow places the networks."""
        return self


def extract_face(img: Any, box: Any, image_size: int = 160, margin: float = 0, save_path: str | None = None) -> Any:
    """The face in a box of an image, colours in 0–255, float32 [3, image_size, image_size]; see `MTCNN`.

    Args:
        img: One image.
        box: x1, y1, x2, y2 in its pixels.
        image_size: Side of what is cut out.
        margin: What is added to the box, in pixels of what is cut out.
        save_path: Where to write it as an image.
    """
    return _as_tensor(_crop(translation.as_pixels(img), box, image_size, margin, save_path))


def fixed_image_standardization(image_tensor: Any) -> Any:
    """Colours in 0–255 of an array or tensor, standardised: (x − 127.5) / 128."""
    return (image_tensor - 127.5) / 128


def _images(img: Any) -> tuple[list[np.ndarray], bool]:
    """The images' pixels, uint8 [H, W, 3] each, and whether it was a batch of them."""
    is_batch = isinstance(img, list | tuple) or getattr(img, "ndim", 0) == 4
    return [translation.as_pixels(image) for image in (img if is_batch else [img])], is_batch


def _objects(values: Sequence) -> np.ndarray:
    """An array [B] of objects: NumPy would make one of numbers where they have the same shapes."""
    array = np.empty(len(values), object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)


def _best(
    method: str, image: np.ndarray, boxes: np.ndarray, scores: np.ndarray, threshold: float, center_weight: float
) -> int | None:
    """The index of the face to select, None where none is good enough."""
    values = scores if method == "probability" else _areas(boxes)
    if method == "largest_over_threshold":
        values = np.where(scores > threshold, values, -np.inf)
    if method == "center_weighted_size":
        offsets = (boxes[:, :2] + boxes[:, 2:]) / 2 - np.divide(image.shape[1::-1], 2)
        values = values - center_weight * np.sum(offsets**2, axis=1)
    best = int(np.argmax(values))
    return None if values[best] == -np.inf else best


def _crop(image: np.ndarray, box: Any, size: int, margin: float, path: str | None) -> np.ndarray:
    """What the box shows, with the margin and as far as the image goes, stretched to float32 [3, size, size]."""
    if not margin < size:
        raise ValueError(f"margin must be smaller than image_size, {size}, got {arguments.shown(margin)}")
    box = np.asarray(box, np.float64)
    added = (box[2:] - box[:2]) * margin / (size - margin) / 2
    corners = np.clip([box[:2] - added, box[2:] + added], 0, image.shape[1::-1]).astype(int)
    (left, top), (right, bottom) = corners
    shown = image[top:bottom, left:right]
    if not shown.size:
        raise ValueError(f"expected a box that holds pixels of the image, got {box.tolist()}; see detect")
    pixels = np.asarray(Image.fromarray(shown).resize((size, size), Image.Resampling.BILINEAR))
    if path is not None:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        image_files.write(path, pixels)
    return pixels.transpose(2, 0, 1).astype(np.float32)


def _as_tensor(array: np.ndarray) -> Any:
    """A tensor of torch where it is installed, the array where it is not."""
    try:
        import torch
    except ImportError:
        return array
    return torch.from_numpy(np.ascontiguousarray(array))
