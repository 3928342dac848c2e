"""Windows of images for the RPN, drawn and cut anew in every step: which part of an image, at which scale, how changed.

What is drawn by chance, and the boxes that belong to it, is a dict of small arrays (`Sampler.draw`); a step's numbers
come from its own seed, so that a training that goes on sees what it would have seen. The pixels are cut afterwards,
either on the host (`cut`) or on an accelerator (`accelerator_crops.cut`), from the same mip levels at the same places.
"""

import dataclasses
from collections.abc import Iterable

import cv2
import numpy as np

from mtcnn_tf.geometry import boxes as box_geometry
from mtcnn_tf.images import array_crops, colours, image_store

MAX_BOXES = 160
"""At most so many boxes of a window are looked at one by one; the smallest of more are ignored together."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How windows are drawn.

    The sizes of faces are those for the default anchors; for others they are `anchors.Anchors.fitted`.

    Attributes:
        size: Side of a window in pixels.
        anywhere_fraction: Fraction of windows of any image at any place; the others show a face drawn by chance.
        own_scale_fraction: Of these, the fraction that shows the image at about its own scale.
        own_scales: Least and largest scale there, log-uniform: window pixels per image pixel.
        face_sizes: Otherwise the face is brought to a longer side between these, log-uniform, in window pixels …
        scales: … by a scale between these.
        min_face_size: Faces with a shorter side below this, in pixels of the image, are not drawn.
        max_shift: The face's centre lies at most this fraction of the window away from the window's centre.
        rotated_fraction: Fraction of windows in which the image is rotated round the window's centre …
        max_rotation: … by at most so many degrees, uniform.
        augment: Whether windows are rotated and mirrored and their colours changed.
    """

    size: int = 512
    anywhere_fraction: float = 0.15
    own_scale_fraction: float = 0.4
    own_scales: tuple[float, float] = (0.45, 1.0)
    face_sizes: tuple[float, float] = (11.0, 300.0)
    scales: tuple[float, float] = (0.1, 2.5)
    min_face_size: float = 10.0
    max_shift: float = 0.42
    rotated_fraction: float = 0.5
    max_rotation: float = 35.0
    augment: bool = True


@dataclasses.dataclass(frozen=True)
class Boxes:
    """What is known of an image's faces.

    Attributes:
        faces: float32 [N, 4] in pixels of the image.
        ignored: float32 [M, 4].
        is_complete: Whether every face is among them.
    """

    faces: np.ndarray
    ignored: np.ndarray
    is_complete: bool


class Sampler:
    """Draws windows of images."""

    def __init__(self, sizes: np.ndarray, means: np.ndarray, known: list[Boxes], recipe: Recipe):
        """Prepares to draw.

        Args:
            sizes: Height and width of each image, int [N, 2].
            means: Its mean colour, float32 [N, 3] in 0–255.
            known: Its boxes.
            recipe: How to draw.

        Raises:
            ValueError: No image has a face that is large enough.
        """
        self._sizes, self._means, self._recipe = np.asarray(sizes), means, recipe
        large = [(boxes.faces[:, 2:] - boxes.faces[:, :2]).min(axis=1) >= recipe.min_face_size for boxes in known]
        self._images_to_show = np.repeat(np.arange(len(known)), [mask.sum() for mask in large])
        if not len(self._images_to_show):
            raise ValueError(
                f"expected faces of at least {recipe.min_face_size:g} pixels to draw windows around, found none in "
                f"{len(known)} images"
            )
        self._boxes_to_show = np.concatenate([boxes.faces[mask] for boxes, mask in zip(known, large, strict=True)])
        self._boxes = np.concatenate([group for boxes in known for group in (boxes.faces, boxes.ignored)])
        counts = np.array([(len(boxes.faces), len(boxes.ignored)) for boxes in known])
        self._is_face = np.repeat(np.tile([True, False], len(known)), counts.ravel())
        self._num_boxes = counts.sum(axis=1)
        self._first_box = self._num_boxes.cumsum() - self._num_boxes
        self._complete = np.array([boxes.is_complete for boxes in known])

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        """`count` windows as a dict of arrays.

        * `image_index` int32 [B] and `to_image` float32 [B, 2, 3]: which part of which image, see `maps`;
        * `colours` float32 [B, 3, 4], `noise` float32 [B], `pattern` int32 [B]: see `colours`;
        * `boxes` float32 [B, MAX_BOXES, 4] in pixels of the window, `face_mask` bool [B, MAX_BOXES] and `complete_mask`
          bool [B]: see `anchor_labels.assign`; rows that aren't needed are zero and come last.
        """
        recipe = self._recipe
        is_anywhere = rng.random(count) < recipe.anywhere_fraction
        row = rng.integers(len(self._images_to_show), size=count)
        image_index = self._images_to_show[row]
        image_index = np.where(is_anywhere, rng.integers(len(self._complete), size=count), image_index).astype(np.int32)
        boxes = self._boxes_to_show[row]
        windows = self._place(rng, boxes, image_index, is_anywhere)
        mirrored = rng.random(count) < (0.5 if recipe.augment else 0)
        rotated = rng.random(count) < (recipe.rotated_fraction if recipe.augment else 0)
        angles = np.where(rotated, np.deg2rad(rng.uniform(-recipe.max_rotation, recipe.max_rotation, count)), 0)
        changes = colours.draw(rng, self._means[image_index], recipe.augment)
        return self._described(image_index, windows, angles, mirrored, changes)

    def of_windows(self, image_index: np.ndarray, windows: np.ndarray) -> dict[str, np.ndarray]:
        """What `draw` returns for chosen windows float32 [B, 4] of the images int [B], not changed in any way."""
        changes = colours.draw(np.random.default_rng(), self._means[image_index], augment=False)
        angles, mirrored = np.zeros(len(windows)), np.zeros(len(windows), bool)
        return self._described(image_index.astype(np.int32), windows, angles, mirrored, changes)

    def _described(
        self,
        image_index: np.ndarray,
        windows: np.ndarray,
        angles: np.ndarray,
        mirrored: np.ndarray,
        changes: dict[str, np.ndarray],
    ) -> dict[str, np.ndarray]:
        """See `draw`."""
        rows, boxes, is_face = self._boxes_within(image_index, windows, angles, mirrored)
        num_boxes = np.bincount(rows, minlength=len(windows))
        drawn_boxes = np.zeros((len(windows), MAX_BOXES, 4), np.float32)
        face_mask = np.zeros((len(windows), MAX_BOXES), bool)
        place = np.arange(len(rows)) - np.repeat(num_boxes.cumsum() - num_boxes, num_boxes)
        drawn_boxes[rows, place], face_mask[rows, place] = boxes, is_face
        targets = {"boxes": drawn_boxes, "face_mask": face_mask, "complete_mask": self._complete[image_index]}
        to_image = maps(windows, angles, mirrored, self._recipe.size)
        return {"image_index": image_index, "to_image": to_image, **changes, **targets}

    def _place(
        self, rng: np.random.Generator, boxes: np.ndarray, image_index: np.ndarray, is_anywhere: np.ndarray
    ) -> np.ndarray:
        """The windows, float32 [B, 4] in pixels of the image: within it as far as it is large enough."""
        recipe, count = self._recipe, len(boxes)
        extent = self._sizes[image_index, ::-1].astype(np.float64)  # width, height
        least, largest = np.log(recipe.own_scales)
        own = np.exp(rng.uniform(least, largest, count))
        sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        least, largest = np.log(recipe.face_sizes)
        by_face = np.exp(rng.uniform(least, largest, count)) / sides
        takes_own = is_anywhere | (rng.random(count) < recipe.own_scale_fraction)
        scale = np.where(takes_own, own, np.clip(by_face, *recipe.scales))
        half = recipe.size / scale[:, None] / 2
        shifted = box_geometry.centres(boxes) + rng.uniform(-1, 1, (count, 2)) * recipe.max_shift * 2 * half
        centres = np.where(is_anywhere[:, None], rng.random((count, 2)) * extent, shifted)
        low, high = np.minimum(half, extent / 2), np.maximum(extent - half, extent / 2)
        centres = np.clip(centres, low, high)
        return box_geometry.around(centres, half).astype(np.float32)

    def _boxes_within(
        self, image_index: np.ndarray, windows: np.ndarray, angles: np.ndarray, mirrored: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The boxes that reach into the windows: of which window [K], in its pixels [K, 4], whether they are faces."""
        counts, size = self._num_boxes[image_index], self._recipe.size
        rows = np.repeat(np.arange(len(windows)), counts)
        index = np.arange(len(rows)) + np.repeat(self._first_box[image_index] - (counts.cumsum() - counts), counts)
        boxes, window = _rotated(self._boxes[index], angles[rows], windows[rows]), windows[rows]
        within = np.flatnonzero(((boxes[:, 2:] > window[:, :2]) & (boxes[:, :2] < window[:, 2:])).all(axis=1))
        rows, index, window = rows[within], index[within], window[within]
        boxes = (boxes[within] - window[:, [0, 1, 0, 1]]) * (size / (window[:, 2:] - window[:, :2])[:, :1])
        boxes = np.where(mirrored[rows, None], boxes[:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + (size, 0, size, 0), boxes)
        is_face = self._is_face[index]
        for row in np.flatnonzero(np.bincount(rows, minlength=1) > MAX_BOXES).tolist():
            rows, boxes, is_face = _with_fewer(row, rows, boxes, is_face)
        return rows, boxes, is_face


def _with_fewer(row: int, rows: np.ndarray, boxes: np.ndarray, is_face: np.ndarray) -> tuple:
    """The boxes with only the `MAX_BOXES` − 1 largest of window `row`; one round all others of it is to be ignored."""
    own = np.flatnonzero(rows == row)
    rest = own[np.argsort(-box_geometry.area(boxes[own]), kind="stable")[MAX_BOXES - 1 :]]
    boxes, is_face = boxes.copy(), is_face.copy()
    boxes[rest[0]] = np.concatenate([boxes[rest, :2].min(axis=0), boxes[rest, 2:].max(axis=0)])
    is_face[rest[0]] = False
    kept = np.ones(len(rows), bool)
    kept[rest[1:]] = False
    return rows[kept], boxes[kept], is_face[kept]


def _rotated(boxes: np.ndarray, angles: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Boxes [K, 4] in images that have been rotated, each by its own angle, round the centre of its window."""
    boxes, rows = boxes.copy(), np.flatnonzero(angles)
    turned, pivots = box_geometry.rotate(boxes[rows], angles[rows]), box_geometry.centres(windows[rows])
    centres = box_geometry.centres(turned)
    moved = box_geometry.rotate_points(centres[:, None], angles[rows], pivots)[:, 0] - centres
    boxes[rows] = turned + np.tile(moved, 2)
    return boxes


def maps(windows: np.ndarray, angles: np.ndarray, mirrored: np.ndarray, size: int) -> np.ndarray:
    """Affine maps float32 [B, 2, 3] from pixels of windows to pixels of their images, counted from the top left corner.

    Args:
        windows: float32 [B, 4], square.
        angles: [B] in radians: the image is rotated clockwise (as seen on the screen) round the window's centre …
        mirrored: bool [B]: … and what the window shows then is mirrored.
        size: Side of the windows in pixels.
    """
    to_image = array_crops.rotated(windows, angles, box_geometry.centres(windows), size)
    to_image[mirrored] = array_crops.mirrored(to_image[mirrored], size)
    return to_image.astype(np.float32)


def cut(store: image_store.ImageStore, drawn: dict[str, np.ndarray], size: int) -> np.ndarray:
    """The pixels of drawn windows, uint8 [B, size, size, 3]; what lies outside of an image is black."""
    pixels = np.empty((len(drawn["image_index"]), size, size, 3), np.uint8)
    for row, index in enumerate(drawn["image_index"]):
        pixels[row] = _cut_one(store.levels(index), drawn["to_image"][row], size)
        pixels[row] = colours.apply(pixels[row], drawn["colours"][row], drawn["noise"][row], drawn["pattern"][row])
    return pixels


def _cut_one(levels: list[np.ndarray], to_image: np.ndarray, size: int) -> np.ndarray:
    step = float(np.linalg.norm(to_image[:, 0]))
    k = int(min(np.log2(max(step, 1)) + 1e-6, len(levels) - 1))
    linear, origin = to_image[:, :2] / 2**k, to_image[:, 2] / 2**k
    centred = origin + linear.sum(axis=1) / 2 - 0.5  # OpenCV counts from the pixels' centres
    matrix = np.concatenate([linear, centred[:, None]], axis=1)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    window = cv2.warpAffine(levels[k], matrix, (size, size), flags=how, borderMode=cv2.BORDER_REPLICATE)
    window = cv2.cvtColor(window, cv2.COLOR_RGBA2RGB)
    places, (height, width) = np.arange(size, dtype=np.float32), levels[k].shape[:2]
    for (along, down, start), length in zip(matrix.astype(np.float32), (width, height), strict=True):
        place = start + along * places[[0, -1]] + down * places[[0, -1], None]
        if place.min() < -1 or place.max() > length:  # the corners lie farthest out
            place = start + along * places + down * places[:, None]
            window[(place < -1) | (place > length)] = 0
    return window


def known_of(annotations: Iterable) -> list[Boxes]:
    """The `Boxes` of annotations or image records."""
    return [Boxes(one.boxes, one.ignored, bool(one.is_complete)) for one in annotations]
