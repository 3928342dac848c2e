"""Crops for P-, R- and O-Net, drawn anew in every step of a training from image records and what a cascade proposed.

The rules are those of the records that hold crops (`examples`): the same candidates, labels and targets, only that the
crops of a step are drawn for it alone, and cut by whoever trains. What is drawn is a dict of small arrays.
"""

import dataclasses

import numpy as np

from mtcnn_tf import faces, kinds, stages
from mtcnn_tf.geometry import boxes as box_geometry
from mtcnn_tf.images import array_crops, colours, covering, image_store
from mtcnn_tf.records import image_batches, image_records, manifests

from . import candidates, labels, recipes

_TRIES, _LEAST_TRIES = 3, 64
"""So many squares are drawn for each one wanted, and so many at least: some are of another kind, or show not all
points, and of a few of them it may be all."""
_CLOSE = (0.85, 1.2, 0.12)
"""Landmark crops: least and largest side over the face's square, and farthest shift. As close as R-Net's boxes lie."""
_ANYWHERE_PER_IMAGE = 200


@dataclasses.dataclass(frozen=True)
class _Pool:
    """Labelled squares to draw from: image int32 [N], box float32 [N, 4], offsets float32 [N, 4]."""

    image: np.ndarray
    boxes: np.ndarray
    offsets: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> "_Pool":
        return _Pool(self.image[rows], self.boxes[rows], self.offsets[rows])


class Sampler:
    """Draws batches of crops.

    Attributes:
        num_examples: Squares of each kind to draw from, by the kind's name: proposals, and for landmarks faces.
    """

    def __init__(
        self,
        images: list[image_records.ImageRecord],
        store: image_store.ImageStore,
        stage: stages.Stage,
        recipe: recipes.Recipe,
        augment: bool = True,
        seed: int = 0,
    ):
        """Labels all proposals.

        Args:
            images: What the records hold.
            store: Their images.
            stage: Whose crops; for P-Net there are squares drawn by chance beside the proposals.
            recipe: How squares are jittered, and what separates the kinds.
            augment: Whether crops are mirrored, changed in colour and covered in part.
            seed: Decides the squares drawn by chance.

        Raises:
            ValueError: There is nothing to tell apart: no negatives, or no usable face.
        """
        if not images:
            raise ValueError("expected images to draw crops from, got none; build the records from more images")
        self._store, self._stage, self._recipe = store, stage, recipe
        self._augment = augment
        self._pools = _pools(images, stage, recipe, seed)
        usable = [labels.usable_mask(image, recipe.rules.min_face_size) for image in images]
        self._face_image = np.repeat(np.arange(len(images), dtype=np.int32), [mask.sum() for mask in usable])
        self._faces = np.concatenate([p.boxes[mask] for p, mask in zip(images, usable, strict=True)])
        self._points = np.concatenate([p.landmarks[mask] for p, mask in zip(images, usable, strict=True)])
        self._with_points = np.flatnonzero(faces.known_mask(self._points))
        self.num_examples = {kinds.NAMES[kind]: len(pool.image) for kind, pool in self._pools.items()}
        self.num_examples["landmark"] = len(self._with_points)
        if not len(self._faces) or not self.num_examples["negative"]:
            raise ValueError(
                f"expected faces of at least {recipe.rules.min_face_size:g} pixels and background that was proposed in "
                f"{len(images)} images, got {len(self._faces)} and {self.num_examples['negative']}; lower the "
                "thresholds of the build, or take more images"
            )

    def draw(self, rng: np.random.Generator, rows: dict[str, int]) -> dict[str, np.ndarray]:
        """A batch with the wanted number of `rows` of each kind, by the kind's name.

        * `image_index` int32 [B] and `to_image` float32 [B, 2, 3]: which part of which image a crop shows;
        * `colours`, `noise`, `pattern`: see `colours.draw`; `covered`, `cover`, `shown`: see `covering.draw`;
        * `kind` int32 [B], `offsets` float32 [B, 4], `landmarks` float32 [B, 2 P]: see `crop_records.parse`.
        """
        landmark_set, size = self._recipe.landmark_set, self._stage.size
        parts = [self._background(rng, rows.get("negative", 0))]
        parts += [self._on_faces(rng, kind, rows.get(kinds.NAMES[kind], 0)) for kind in (kinds.POSITIVE, kinds.PART)]
        parts.append(self._with_landmarks(rng, rows.get("landmark", 0)))
        names = parts[0].keys()
        batch = {name: np.concatenate([part[name] for part in parts]) for name in names}
        mirrored = rng.random(len(batch["kind"])) < (0.5 if self._augment else 0.0)
        batch["offsets"][mirrored] = batch["offsets"][mirrored][:, [2, 1, 0, 3]] * (-1, 1, -1, 1)
        points = batch["landmarks"].reshape(-1, landmark_set.num_points, 2)
        points[mirrored] = points[mirrored][:, landmark_set.mirror_order] * (-1, 1) + (1, 0)
        squares, angles, pivots = (batch.pop(name) for name in ("squares", "angles", "pivots"))
        to_image = array_crops.rotated(box_geometry.enlarge(squares, self._recipe.margin), angles, pivots, size)
        to_image[mirrored] = array_crops.mirrored(to_image[mirrored], size)
        changes = colours.draw(rng, self._store.means[batch["image_index"]], self._augment)
        changes |= covering.draw(rng, len(mirrored), size, self._augment)
        landmarks = points.reshape(-1, 2 * landmark_set.num_points).astype(np.float32)
        return {**batch, "landmarks": landmarks, "to_image": to_image.astype(np.float32), **changes}

    def _background(self, rng: np.random.Generator, count: int) -> dict:
        pool = self._pools[kinds.NEGATIVE]
        rows = self._upright(pool[rng.integers(len(pool.image), size=count)], kinds.NEGATIVE)
        angles = candidates.angles_of_negatives(rng, count, self._recipe.max_rotation)
        return {**rows, "angles": angles, "pivots": box_geometry.centres(rows["squares"])}

    def _on_faces(self, rng: np.random.Generator, kind: int, count: int) -> dict:
        """Positives or parts: proposals as far as there are any, for one half, and jittered faces."""
        pool = self._pools[kind]
        num_proposed = count // 2 if len(pool.image) else 0
        proposed = self._upright(pool[rng.integers(max(len(pool.image), 1), size=num_proposed)], kind)
        recipe = self._recipe
        jittered = self._jittered(
            rng,
            np.arange(len(self._faces)),
            count - num_proposed,
            (recipe.min_scale, recipe.max_scale, recipe.max_shift),
            kind,
        )
        return {name: np.concatenate([proposed[name], jittered[name]]) for name in proposed}

    def _with_landmarks(self, rng: np.random.Generator, count: int) -> dict:
        return self._jittered(rng, self._with_points, count if len(self._with_points) else 0, _CLOSE, kinds.LANDMARK)

    def _jittered(self, rng: np.random.Generator, chosen_faces: np.ndarray, count: int, how: tuple, kind: int) -> dict:
        """`count` squares of one kind round some of the faces, each in an image rotated round its face."""
        recipe, num_tries = self._recipe, max(_TRIES * count, _LEAST_TRIES) if count else 0
        rows = chosen_faces[rng.integers(max(len(chosen_faces), 1), size=num_tries)] if count else np.zeros(0, int)
        angles = candidates.angles(rng, num_tries, recipe.max_rotation)
        face_boxes = box_geometry.rotate(self._faces[rows], angles)
        compared = labels.compared(face_boxes, recipe.rules)
        squares = candidates.jittered(rng, compared, how[:2], how[2])
        pivots = box_geometry.centres(face_boxes)
        points = box_geometry.encode_points(squares, box_geometry.rotate_points(self._points[rows], angles, pivots))
        found = labels.of_overlap(box_geometry.paired_iou(squares, compared), recipe.rules)
        if kind == kinds.LANDMARK:
            fits = (found == kinds.POSITIVE) & ((points >= 0) & (points <= 1)).all(axis=(1, 2))
        else:
            fits = found == kind
            if self._stage is stages.PNET:  # which never looks beyond the image
                height, width = self._store.sizes[self._face_image[rows]].T
                fits &= candidates.inside_mask(squares, width, height)
        # Squares that fit come first; should they be too few, some come twice.
        order = np.resize(np.flatnonzero(fits), count) if fits.any() else np.zeros(0, int)
        squares, face_boxes, rows = squares[order], face_boxes[order], rows[order]
        has_points = kind == kinds.LANDMARK
        offsets = np.zeros((len(order), 4), np.float32) if has_points else box_geometry.encode(squares, face_boxes)
        landmarks = points[order].reshape(len(order), 2 * recipe.landmark_set.num_points)
        return {
            "image_index": self._face_image[rows],
            "squares": squares,
            "angles": angles[order],
            "pivots": pivots[order],
            "kind": np.full(len(order), kind, np.int32),
            "offsets": offsets,
            "landmarks": np.where(has_points, landmarks, 0).astype(np.float32),
        }

    def _upright(self, pool: _Pool, kind: int) -> dict:
        """Squares of a pool as a part of a batch."""
        count = len(pool.image)
        return {
            "image_index": pool.image,
            "squares": pool.boxes,
            "angles": np.zeros(count),
            "pivots": np.zeros((count, 2)),
            "kind": np.full(count, kind, np.int32),
            "offsets": pool.offsets,
            "landmarks": np.zeros((count, 2 * self._recipe.landmark_set.num_points), np.float32),
        }


def _pools(
    images: list[image_records.ImageRecord], stage: stages.Stage, recipe: recipes.Recipe, seed: int
) -> dict[int, _Pool]:
    """What was proposed, and for P-Net drawn by chance, by kind."""
    found: dict[int, tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]] = {
        kind: ([], [], []) for kind in (kinds.NEGATIVE, kinds.POSITIVE, kinds.PART)
    }
    for index, image in enumerate(images):
        groups = [faces.no_boxes() if image.proposals is None else box_geometry.square(image.proposals)]
        if stage is stages.PNET and image.is_complete:
            rng = np.random.default_rng([seed, index])
            groups.append(candidates.anywhere(rng, image.width, image.height, _ANYWHERE_PER_IMAGE))
        squares = np.concatenate(groups)
        kind_of, offsets = labels.label(squares, image, recipe.rules)
        for kind, (of_image, boxes, of_boxes) in found.items():
            rows = np.flatnonzero(kind_of == kind)
            of_image.append(np.full(len(rows), index, np.int32))
            boxes.append(squares[rows])
            of_boxes.append(offsets[rows])
    return {kind: _Pool(*(np.concatenate(column) for column in columns)) for kind, columns in found.items()}


def open_records(
    records_dir: str, stage: stages.Stage, split: str, augment: bool = True
) -> tuple[Sampler, image_store.ImageStore] | None:
    """A sampler of the stage's image records, by the recipe that they were built by, and their images.

    None where no image of the split shows a face that is large enough to learn from.

    Args:
        records_dir: Where `data_prep.build` wrote.
        stage: Whose records.
        split: "train" or "validation".
        augment: See `Sampler`.

    Raises:
        FileNotFoundError, ValueError: See `image_batches.read` and `Sampler`, whose error is told with the split.
    """
    manifest = manifests.read(records_dir, stage, manifests.IMAGES)
    settings, landmark_set = manifest["settings"]["recipe"], manifests.landmark_set(manifest)
    recipe = recipes.Recipe(**{**settings, "rules": labels.Rules(**settings["rules"]), "landmark_set": landmark_set})
    images, store = image_batches.read(records_dir, stage, split)
    if not any(labels.usable_mask(image, recipe.rules.min_face_size).any() for image in images):
        return None
    try:
        return Sampler(images, store, stage, recipe, augment), store
    except ValueError as error:
        raise ValueError(f"{split} images: {error}") from error
