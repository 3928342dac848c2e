"""Small scenes with faces, made of photographs that come inside dependencies: the images of the sample set.

The photographs, none of which is fetched or stored here:

* Faces: Eileen Collins (NASA; no known copyright restrictions, public domain; `skimage.data.astronaut`) and Grace
  Hopper (official portrait of the U.S. Navy by James S. Davis, 1984, public domain as a work of the U.S. government;
  Matplotlib's sample data).
* Backgrounds, all of `skimage.data`: camera (Lav Varshney), chelsea (Stéfan van der Walt), coffee (Rachel Michetti),
  brick and gravel (CC0Textures), grass (linolafett), retina (Mikael Häggström): CC0. rocket (SpaceX), clock (Stéfan van
  der Walt), hubble_deep_field (NASA): public domain. Regions of the two portraits that show no face.

Boxes and points of the two portraits were placed by hand. Everything else is drawn by chance from a generator.
"""

import dataclasses
import functools

import cv2
import numpy as np
from matplotlib import cbook
from PIL import Image
from skimage import data as photographs

from mtcnn_tf import landmark_sets

TRAIN, VAL, POINTS_TRAIN, POINTS_TEST, GROUP = range(5)
"""The splits; each has random numbers of its own."""

EMPTY_FRACTION = 0.15
FACE_HEIGHTS = (24, 200)


@dataclasses.dataclass(frozen=True)
class Portrait:
    """One photographed face, with what was placed by hand, in pixels of the photograph.

    Attributes:
        pixels: uint8 [H, W, 3].
        box: Forehead to chin, float32 [4].
        landmarks: float32 [5, 2].
        outline: Corners of a polygon around head and shoulders, float32 [K, 2].
    """

    pixels: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    outline: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """The middle of the face, float32 [2]."""
        return (self.box[:2] + self.box[2:]) / 2

    @property
    def height(self) -> float:
        """From forehead to chin."""
        return float(self.box[3] - self.box[1])

    @property
    def head(self) -> np.ndarray:
        """The box around head, hair and hat down to the chin, float32 [4]."""
        above_chin = self.outline[self.outline[:, 1] < self.box[3]]
        return np.array([*above_chin.min(axis=0), above_chin[:, 0].max(), self.box[3]])


@dataclasses.dataclass(frozen=True)
class Placement:
    """A portrait somewhere in a scene: `matrix` [2, 3] leads from the photograph's pixels to the scene's."""

    portrait: Portrait
    matrix: np.ndarray

    def points(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 2] of the photograph in pixels of the scene."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]

    @property
    def landmarks(self) -> np.ndarray:
        """The five points in the scene, float64 [5, 2], named rightly where the face is mirrored."""
        landmarks = self.points(self.portrait.landmarks)
        is_mirrored = np.linalg.det(self.matrix[:, :2]) < 0
        return landmarks[list(landmark_sets.FIVE.mirror_order)] if is_mirrored else landmarks

    @property
    def box(self) -> np.ndarray:
        """The box around the oval that fills the photograph's box, in the scene: float64 [4]."""
        centre = self.points(self.portrait.centre)
        half_sides = (self.portrait.box[2:] - self.portrait.box[:2]) / 2
        reach = np.linalg.norm(self.matrix[:, :2] * half_sides, axis=1)
        return np.concatenate([centre - reach, centre + reach])

    @property
    def head(self) -> np.ndarray:
        """The box around the portrait's `head` in the scene: float64 [4]."""
        left, top, right, bottom = self.portrait.head
        corners = self.points(np.array([(left, top), (right, top), (left, bottom), (right, bottom)]))
        return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


@functools.cache
def portraits() -> tuple[Portrait, Portrait]:
    """The two portraits."""
    with Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as photograph:
        hopper = np.asarray(photograph.convert("RGB"))
    return (
        Portrait(photographs.astronaut(), *(np.array(values, np.float32) for values in _COLLINS)),
        Portrait(hopper, *(np.array(values, np.float32) for values in _HOPPER)),
    )


_COLLINS = (
    (181, 68, 271, 178),
    ((203.7, 101.5), (246.7, 103.5), (224.3, 126.4), (203.6, 139.3), (244.4, 140.9)),
    (
        *((152, 82), (153, 65), (160, 53), (188, 35), (200, 22), (232, 15), (262, 24), (288, 42), (298, 62), (301, 85)),
        *((297, 107), (276, 131), (266, 136), (254, 172), (272, 181), (292, 202), (304, 235), (340, 280), (356, 340)),
        *((358, 512), (0, 512), (10, 400), (26, 286), (100, 235), (104, 190), (125, 162), (155, 150), (183, 148)),
        *((181, 134), (170, 122), (156, 105)),
    ),
)
_HOPPER = (
    (168, 124, 357, 334),
    ((221.9, 190.0), (306.2, 186.3), (268.2, 236.5), (228.7, 281.3), (308.3, 277.7)),
    (
        *(
            (147, 130),
            (150, 95),
            (172, 84),
            (178, 62),
            (198, 47),
            (217, 37),
            (225, 27),
            (258, 22),
            (290, 27),
            (304, 42),
        ),
        *((330, 52), (350, 74), (355, 88), (366, 92), (371, 108), (371, 150), (369, 180), (376, 186), (374, 208)),
        *((366, 242), (359, 262), (360, 280), (345, 299), (332, 304), (332, 318), (370, 338), (450, 368), (487, 392)),
        *((502, 430), (512, 470), (512, 600), (15, 600), (25, 440), (42, 395), (70, 378), (165, 346), (200, 316)),
        *((192, 296), (168, 282), (160, 245), (153, 208), (152, 165)),
    ),
)


def backgrounds(split: int) -> list[np.ndarray]:
    """Photographs without faces, uint8 [H, W, 3]; the held-out splits have others than the ones to learn from."""
    collins, hopper = (portrait.pixels for portrait in portraits())
    if split in (TRAIN, POINTS_TRAIN):
        photos = [
            *(photographs.coffee(), photographs.chelsea(), photographs.hubble_deep_field()),
            *(photographs.retina()[300:1100, 300:1100], photographs.brick(), photographs.gravel(), photographs.clock()),
            *(collins[200:, :], hopper[350:, :], hopper[:300, :140]),
        ]
    else:
        photos = [photographs.rocket(), photographs.grass(), photographs.camera()[:, 290:], collins[:, 330:]]
    return [np.repeat(photo[:, :, None], 3, axis=2) if photo.ndim == 2 else photo for photo in photos]


def place(rng: np.random.Generator, portrait: Portrait, centre: np.ndarray, height: float) -> Placement:
    """The portrait with its face at `centre`, about `height` pixels high, mirrored, rotated and bent by chance."""
    angle = np.deg2rad(rng.normal(0, 8))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    bend = np.array([[rng.uniform(0.88, 1.12) * rng.choice([-1, 1]), rng.uniform(-0.08, 0.08)], [0, 1]])
    linear = turn @ bend * height / portrait.height
    offset = centre - linear @ portrait.centre
    return Placement(portrait, np.concatenate([linear, offset[:, None]], axis=1))


def arrange(rng: np.random.Generator, heights: np.ndarray, width: int, height: int) -> list[Placement]:
    """Portraits in an image of `width` × `height` pixels, those at the back first.

    Each face lies in the image and no head covers another; a face for which no place is found is left out.
    """
    placements: list[Placement] = []
    people = portraits()
    for face_height in sorted(heights, reverse=True):
        for _ in range(30):
            centre = rng.uniform([0, 0], [width, height])
            placement = place(rng, people[rng.integers(len(people))], centre, face_height)
            box, head = placement.box, placement.head
            if np.any(box[:2] < 1) or np.any(box[2:] > [width - 1, height - 1]):
                continue
            if all(np.any(head[:2] > other.head[2:]) or np.any(other.head[:2] > head[2:]) for other in placements):
                placements.append(placement)
                break
    return sorted(placements, key=lambda placement: placement.box[3])


def paint(rng: np.random.Generator, scene: np.ndarray, placement: Placement) -> np.ndarray:
    """The scene, float32 [H, W, 3], with the portrait pasted in: cut out softly, or as a rectangular image."""
    portrait = placement.portrait
    mask = np.zeros(portrait.pixels.shape[:2], np.uint8)
    if rng.random() < 0.75:
        cv2.fillPoly(mask, [portrait.outline.astype(np.int32)], 255)
    else:
        left, top, right, bottom = portrait.head.astype(int)
        mask[top : bottom + int(portrait.height * rng.uniform(0.05, 0.6)), left:right] = 255
    layers = np.dstack([portrait.pixels, cv2.GaussianBlur(mask, (0, 0), 1.5)])

    shrinkage = 1 / np.sqrt(abs(np.linalg.det(placement.matrix[:, :2])))
    halved = 2 ** max(0, int(np.log2(shrinkage)))  # what is left for the bilinear sampling is less than two
    layers = cv2.resize(layers, None, fx=1 / halved, fy=1 / halved, interpolation=cv2.INTER_AREA)
    matrix = placement.matrix.copy()
    matrix[:, :2] *= halved
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5  # OpenCV counts from the centre of the first pixel
    layers = cv2.warpAffine(layers, matrix, scene.shape[1::-1], flags=cv2.INTER_LINEAR).astype(np.float32)

    opacity = layers[..., 3:] / 255
    pixels = relight(rng, layers[..., :3]) * side_light(rng, placement.box, scene.shape)
    return scene * (1 - opacity) + pixels * opacity


def relight(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """The pixels, float32 [H, W, 3] in 0–255, in other brightness, contrast, saturation and colour."""
    pixels = 255 * (np.clip(pixels, 0, 255) / 255) ** np.exp(rng.normal(0, 0.25))
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + (pixels - grey) * rng.choice([0, rng.uniform(0.4, 1.3)], p=[0.15, 0.85])
    pixels = 127.5 + (pixels - 127.5) * rng.uniform(0.6, 1.15)
    return np.clip(pixels * rng.uniform(0.85, 1.15, 3) * rng.uniform(0.7, 1.2), 0, 255).astype(np.float32)


def side_light(rng: np.random.Generator, box: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Factors [1, W, 1] of a light from the left or right of a face."""
    position = (np.arange(shape[1]) - box[0]) / (box[2] - box[0])
    return (1 + rng.normal(0, 0.2) * (np.clip(position, 0, 1) - 0.5)).astype(np.float32)[None, :, None]


def background(rng: np.random.Generator, photos: list[np.ndarray], width: int, height: int) -> np.ndarray:
    """A window of one of the photographs, float32 [height, width, 3], in other light and with drawn shapes."""
    photo = photos[rng.integers(len(photos))]
    zoom = min(photo.shape[1] / width, photo.shape[0] / height) * rng.uniform(0.5, 1)
    size = np.maximum(1, np.array([width, height]) * zoom).astype(int)
    left, top = rng.integers(0, photo.shape[1::-1] - size + 1)
    window = photo[top : top + size[1], left : left + size[0]][:, :: rng.choice([-1, 1])]
    scene = cv2.resize(window, (width, height), interpolation=cv2.INTER_AREA if zoom > 1 else cv2.INTER_LINEAR)
    for _ in range(rng.integers(0, 6)):
        draw_shape(rng, scene)
    return relight(rng, scene)


def draw_shape(rng: np.random.Generator, scene: np.ndarray) -> None:
    """Draws an oval, a rectangle, a line or a word into the scene: none of them is a face."""
    height, width = scene.shape[:2]
    x, y = (int(v) for v in rng.uniform([0, 0], [width, height]))
    size = int(rng.uniform(8, 70))
    colour = rng.choice([rng.uniform(0, 255, 3), rng.uniform([150, 100, 70], [250, 210, 190])])  # any, or a skin's
    sort = rng.integers(4)
    if sort == 0:
        axes = (size, int(size * rng.uniform(0.5, 1.5)))
        cv2.ellipse(scene, (x, y), axes, rng.uniform(0, 180), 0, 360, colour.tolist(), -1, cv2.LINE_AA)
    elif sort == 1:
        cv2.rectangle(scene, (x, y), (x + size, y + int(size * rng.uniform(0.5, 2))), colour.tolist(), -1)
    elif sort == 2:
        end = (x + int(rng.uniform(-150, 150)), y + int(rng.uniform(-150, 150)))
        cv2.line(scene, (x, y), end, colour.tolist(), size // 10 + 1, cv2.LINE_AA)
    else:
        word = rng.choice(["mtcnn", "exit", "0123", "ABC", "open", "&%"])
        cv2.putText(scene, str(word), (x, y), cv2.FONT_HERSHEY_SIMPLEX, size / 30, colour.tolist(), 2, cv2.LINE_AA)


def finish(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """The scene as a camera would have taken it, a little blurred and noisy: uint8 [H, W, 3]."""
    if rng.random() < 0.3:
        scene = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.4, 1.0))
    scene = scene + rng.normal(0, rng.uniform(0, 6), scene.shape)
    return np.clip(np.round(scene), 0, 255).astype(np.uint8)


def scene(rng: np.random.Generator, photos: list[np.ndarray]) -> tuple[np.ndarray, list[Placement]]:
    """A scene of 320×240 to 480×360 pixels with up to six faces, or none, and the faces in it."""
    width, height = (int(side * rng.uniform(1, 1.5)) for side in (320, 240))
    num_faces = 0 if rng.random() < EMPTY_FRACTION else int(rng.integers(1, 7))
    least, largest = np.log(FACE_HEIGHTS)
    heights = np.exp(rng.uniform(least, largest, num_faces))
    placements = arrange(rng, heights, width, height)
    return populate(rng, background(rng, photos, width, height), placements), placements


def single_portrait(rng: np.random.Generator, photos: list[np.ndarray]) -> tuple[np.ndarray, Placement]:
    """An image of 150–250 pixels with one face about its middle, and that face."""
    side = int(rng.uniform(150, 250))
    people = portraits()
    centre = side * rng.uniform(0.42, 0.58, 2)
    placement = place(rng, people[rng.integers(len(people))], centre, side * rng.uniform(0.35, 0.6))
    return populate(rng, background(rng, photos, side, side), [placement]), placement


def group(rng: np.random.Generator) -> tuple[np.ndarray, list[Placement]]:
    """A held-out image of 640×427 pixels: a group of people before a rocket."""
    rocket = photographs.rocket().astype(np.float32)
    placements = arrange(rng, np.geomspace(36, 110, 9), rocket.shape[1], rocket.shape[0])
    return populate(rng, rocket, placements), placements


def populate(rng: np.random.Generator, scene: np.ndarray, placements: list[Placement]) -> np.ndarray:
    """The scene, float32 [H, W, 3], with all the portraits, as a camera would have taken it: uint8 [H, W, 3]."""
    for placement in placements:
        scene = paint(rng, scene, placement)
    return finish(rng, scene)
