"""Small data sets in the formats that are read, drawn by the tests or from other annotations."""

import pathlib
import shutil

import numpy as np

from mtcnn_tf.images import image_files

FACE = (30, 24, 90, 96)


def draw_image(seed: int, box=FACE, width: int = 160, height: int = 120) -> np.ndarray:
    """Noise with a bright ellipse with two dark eyes where the face is."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 120, (height, width, 3), dtype=np.uint8)
    y, x = np.mgrid[:height, :width]
    centre, radii = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), ((box[2] - box[0]) / 2, (box[3] - box[1]) / 2)
    image[((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 < 1] = (220, 180, 150)
    for side in (-1, 1):
        eye = (centre[0] + side * radii[0] / 2, centre[1] - radii[1] / 4)
        image[(x - eye[0]) ** 2 + (y - eye[1]) ** 2 < (radii[0] / 6) ** 2] = 20
    return image


def write_wider_face(directory: pathlib.Path, num_images: int) -> pathlib.Path:
    """`num_images` training images with a face each, but for the last, which has none."""
    lines = []
    for number in range(num_images):
        name = f"0--Test/{number:03d}.png"
        path = directory / "WIDER_train" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image_files.write(path, draw_image(number))
        if number == num_images - 1:
            lines += [name, "0", "0 0 0 0 0 0 0 0 0 0"]
        else:
            x1, y1, x2, y2 = FACE
            lines += [name, "1", f"{x1} {y1} {x2 - x1} {y2 - y1} 0 0 0 0 0 0"]
    split = directory / "wider_face_split" / "wider_face_train_bbx_gt.txt"
    split.parent.mkdir()
    split.write_text("\n".join(lines) + "\n")
    return directory


def write_points(directory: pathlib.Path, num_images: int) -> pathlib.Path:
    """`num_images` images in the five-point list format."""
    lines = []
    (directory / "faces").mkdir(parents=True)
    for number in range(num_images):
        image_files.write(directory / "faces" / f"{number}.png", draw_image(100 + number))
        lines.append(f"faces\\{number}.png 30 90 24 96 45 51 75 51 60 62 48 78 72 78")
    (directory / "trainImageList.txt").write_text("\n".join(lines) + "\n")
    return directory


def write_voc(voc_dir, annotations, name, also=None):
    """Copies images and writes their boxes as Pascal VOC: objects called `name`, and perhaps one called `also`."""
    for part in ("Annotations", "JPEGImages"):
        (voc_dir / part).mkdir(parents=True)
    for annotation in annotations:
        path = pathlib.Path(annotation.image_path)
        shutil.copy(path, voc_dir / "JPEGImages")
        named = [(name, box) for box in annotation.boxes] + ([(also, (5, 5, 30, 30))] if also else [])
        objects = ""
        for word, box in named:
            edges = "".join(f"<{e}>{v:.0f}</{e}>" for e, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
            objects += f"<object><name>{word}</name><bndbox>{edges}</bndbox></object>"
        text = f"<annotation><filename>{path.name}</filename>{objects}</annotation>"
        (voc_dir / "Annotations" / f"{path.stem}.xml").write_text(text)
