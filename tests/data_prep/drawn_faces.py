"""A small data set in WIDER FACE's format, drawn by the tests."""

import pathlib

import numpy as np

from mtcnn_tf import images

FACE = (30, 24, 90, 96)


def draw_picture(seed: int, box=FACE, width: int = 160, height: int = 120) -> np.ndarray:
    """Noise with a bright ellipse with two dark eyes where the face is."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 120, (height, width, 3), dtype=np.uint8)
    y, x = np.mgrid[:height, :width]
    centre, radii = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), ((box[2] - box[0]) / 2, (box[3] - box[1]) / 2)
    picture[((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 < 1] = (220, 180, 150)
    for side in (-1, 1):
        eye = (centre[0] + side * radii[0] / 2, centre[1] - radii[1] / 4)
        picture[(x - eye[0]) ** 2 + (y - eye[1]) ** 2 < (radii[0] / 6) ** 2] = 20
    return picture


def write_wider_face(directory: pathlib.Path, num_pictures: int) -> pathlib.Path:
    """`num_pictures` training pictures with a face each, but for the last, which has none."""
    lines = []
    for number in range(num_pictures):
        name = f"0--Test/{number:03d}.png"
        path = directory / "WIDER_train" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, draw_picture(number))
        if number == num_pictures - 1:
            lines += [name, "0", "0 0 0 0 0 0 0 0 0 0"]
        else:
            x1, y1, x2, y2 = FACE
            lines += [name, "1", f"{x1} {y1} {x2 - x1} {y2 - y1} 0 0 0 0 0 0"]
    split = directory / "wider_face_split" / "wider_face_train_bbx_gt.txt"
    split.parent.mkdir()
    split.write_text("\n".join(lines) + "\n")
    return directory


def write_points(directory: pathlib.Path, num_pictures: int) -> pathlib.Path:
    """`num_pictures` pictures in the five-point list format."""
    lines = []
    (directory / "faces").mkdir(parents=True)
    for number in range(num_pictures):
        images.write(directory / "faces" / f"{number}.png", draw_picture(100 + number))
        lines.append(f"faces\\{number}.png 30 90 24 96 45 51 75 51 60 62 48 78 72 78")
    (directory / "trainImageList.txt").write_text("\n".join(lines) + "\n")
    return directory
