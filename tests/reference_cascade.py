"""The cascade once more, slow and plain: NumPy alone, one scale, one window, one crop at a time.

Written from the paper (section II.A), the conventions of `faces`, and what `crops` and `cascade` promise in their
docstrings, not from their code. Only the networks' forward passes are Keras's.
"""

import functools
import math

import numpy as np

NUM_MIP_LEVELS = 6
NMS_RPN = 0.6


def detect(models, image, min_face_size, thresholds, scale_factor=0.709, until="onet", score_weights=(1, 0, 0, 0)):
    """Boxes [N, 4], scores [N] and (of O-Net) landmarks [N, 5, 2], best first; a threshold for each of the models."""
    copies = halved_copies(image)
    if "rpn" in models:
        boxes, scores = look(models["rpn"], image, copies, min_face_size, thresholds[0])
    else:
        boxes, scores = propose(models["pnet"], image, copies, min_face_size, thresholds[0], scale_factor)
    if until in ("rpn", "pnet"):
        return boxes, scores
    first = scores
    if "rnet" in models:
        kept, boxes, _, scores, offsets, _ = judge(models["rnet"], copies, boxes, 24, thresholds[1])
        keep = suppress(boxes, scores, 0.7, "union")
        boxes, scores, first = not_empty(move(boxes[keep], offsets[keep]), scores[keep], first[kept][keep])
    if until == "rnet":
        return boxes, scores
    final = functools.partial(blended, weights=score_weights)
    kept, squares, crops, scores, offsets, points = judge(
        models["onet"], copies, boxes, 48, thresholds[-1], first, final
    )
    squares, scores, offsets, points = judge_both_ways(
        models["onet"], squares, crops, scores, offsets, points, thresholds[-1], first[kept], final
    )
    landmarks = [box[:2] + five * (box[2:] - box[:2]) for box, five in zip(squares, points, strict=True)]
    landmarks = np.array(landmarks).reshape(-1, 5, 2)
    boxes, scores, landmarks = not_empty(move(squares, offsets), scores, landmarks)
    keep = suppress(boxes, scores, 0.7, "smaller")
    boxes, scores, landmarks = boxes[keep], scores[keep], landmarks[keep]
    by_final = find_landmarks(models["onet"], copies, boxes)
    has_own_crops = kept_of(models["onet"]).landmark_margin is not None
    landmarks = by_final if has_own_crops else (landmarks + by_final) / 2
    height, width = image.shape[:2]
    boxes = np.minimum(np.maximum(boxes, 0), [width, height, width, height])
    return not_empty(boxes, scores, landmarks)


def halved_copies(image):
    copies = [image.astype(np.float64)]
    for _ in range(NUM_MIP_LEVELS - 1):
        last = copies[-1]
        height, width = last.shape[:2]
        half = np.zeros((math.ceil(height / 2), math.ceil(width / 2), 3))
        for row in range(half.shape[0]):
            for column in range(half.shape[1]):
                half[row, column] = last[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean(axis=(0, 1))
        copies.append(half)
    return copies


def copy_for(shrinkage):
    """The last mip level that still has at least as many pixels as are wanted."""
    return min(max(math.floor(math.log2(max(shrinkage, 1)) + 1e-6), 0), NUM_MIP_LEVELS - 1)


def scales(height, width, min_face_size, scale_factor):
    shorter = min(height, width)
    scale = 12 / min_face_size
    if scale * shorter < 12:  # a face can at most fill the image
        scale = min(12 / shorter, max(1, scale))
    found = []
    while scale * shorter >= 12 * (1 - 1e-4):
        found.append(scale)
        scale *= scale_factor
    return found


def propose(model, image, copies, min_face_size, threshold, scale_factor):
    height, width = image.shape[:2]
    windows, scores, offsets = np.zeros((0, 4)), np.zeros(0), np.zeros((0, 4))
    for scale in scales(height, width, min_face_size, scale_factor):
        small, ratio = scaled(copies, scale)
        face, shifts, _ = forward(model, small[None])
        rows, columns = np.nonzero(face[0] > threshold)
        here = np.stack([2 * columns, 2 * rows, 2 * columns + 12, 2 * rows + 12], axis=1).astype(float)
        keep = suppress(here, face[0][rows, columns], 0.5, "union")
        windows = np.concatenate([windows, here[keep] * ratio])
        scores = np.concatenate([scores, face[0][rows, columns][keep]])
        offsets = np.concatenate([offsets, shifts[0][rows, columns][keep]])
    keep = suppress(windows, scores, 0.7, "union")
    return not_empty(move(windows[keep], offsets[keep]), scores[keep])


def scaled(copies, scale):
    """The image at this scale, and how many pixels of the image one of its covers: in x, y, x, y."""
    k = copy_for(1 / scale)
    copy = copies[k]
    covered_height, covered_width = copy.shape[0] * 2**k, copy.shape[1] * 2**k
    small = resize(copy, max(12, round(covered_height * scale)), max(12, round(covered_width * scale)))
    return small, np.array([covered_width / small.shape[1], covered_height / small.shape[0]] * 2)


def look(model, image, copies, min_face_size, threshold):
    shorter, sizes = min(image.shape[:2]), model.get_layer("proposals").sizes
    boxes, scores = np.zeros((0, 4)), np.zeros(0)
    for scale in scales(*image.shape[:2], min_face_size, 0.5)[:1]:
        while True:
            found = look_at(model, *scaled(copies, scale), threshold)
            boxes, scores = np.concatenate([boxes, found[0]]), np.concatenate([scores, found[1]])
            if shorter * scale <= 1.4 * sizes[-1]:
                break
            scale /= 8  # larger faces may be there
    boxes, scores = not_empty(boxes, scores)
    keep = suppress(boxes, scores, NMS_RPN, "union")
    return boxes[keep], scores[keep]


def look_at(model, small, ratio, threshold):
    height, width = (math.ceil(side / 32) * 32 for side in small.shape[:2])
    black = np.zeros((height, width, 3))
    black[: small.shape[0], : small.shape[1]] = small
    outputs = {name: np.asarray(output, np.float64)[0] for name, output in model(np.float32(black[None])).items()}
    scores, boxes = 1 / (1 + np.exp(-outputs["face"])), []
    anchors = all_anchors(model.get_layer("proposals").sizes, height, width)
    for anchor, score, shift in zip(anchors, scores, outputs["offsets"], strict=True):
        if score > threshold:
            boxes.append(anchor + shift * (anchor[2] - anchor[0]))
    return np.array(boxes).reshape(-1, 4) * ratio, scores[scores > threshold]


def all_anchors(sizes, height, width):
    found = []
    for stride, smallest, largest in ((8, 0, 40), (16, 40, 112), (32, 112, math.inf)):
        for row in range(height // stride):
            for column in range(width // stride):
                x, y = (column + 0.5) * stride, (row + 0.5) * stride
                for size in sizes:
                    if smallest < size <= largest:
                        found.append([x - size / 2, y - size / 2, x + size / 2, y + size / 2])
    return np.array(found)


def judge(model, copies, boxes, size, threshold, first=None, final=lambda scores, first, squares: scores):
    """Which are faces by their final scores, and their squares round the boxes, crops, scores, offsets and points."""
    squares = np.array([square_round(box) for box in boxes]).reshape(-1, 4)
    if len(squares) == 0:
        nothing = squares, np.zeros((0, size, size, 3)), np.zeros(0), np.zeros((0, 4)), np.zeros((0, 5, 2))
        return np.zeros(0, bool), *nothing
    crops = np.stack([cut(copies, with_margin(square, kept_of(model).margin), size) for square in squares])
    scores, offsets, points = forward(model, crops)
    keep = final(scores, first, squares) > threshold
    return keep, squares[keep], crops[keep], scores[keep], offsets[keep], points[keep]


def blended(scores, first, squares, weights):
    """Final scores, of O-Net's and the first stage's: the product of powers of their odds and of the squares' sides."""
    sides = np.clip(squares[..., 3] - squares[..., 1], 16, 128)
    odds = (scores / (1 - scores)) ** weights[0] * (first / (1 - first)) ** weights[1]
    odds = odds * (sides / 32) ** (weights[2] / math.log(2)) * math.exp(weights[3])
    return odds / (1 + odds)


def kept_of(model):
    """The layer that keeps the margins."""
    return model.get_layer(f"{model.name}_pixels")


def with_margin(square, margin):
    x1, y1, x2, y2 = square
    more = (margin - 1) / 2 * (x2 - x1)
    return x1 - more, y1 - more, x2 + more, y2 + more


def square_round(box):
    x1, y1, x2, y2 = box
    half = max(x2 - x1, y2 - y1) / 2
    return [(x1 + x2) / 2 - half, (y1 + y2) / 2 - half, (x1 + x2) / 2 + half, (y1 + y2) / 2 + half]


def judge_both_ways(model, squares, crops, scores, offsets, points, threshold, first, final):
    """What the network says of the crops on the average of them and their mirror images."""
    kept = []
    for square, crop, score, shift, five, of_first in zip(squares, crops, scores, offsets, points, first, strict=True):
        mirrored = forward(model, crop[None, :, ::-1])
        other_score, (x1, y1, x2, y2), seen = (values[0] for values in mirrored)
        other_five = mirrored_points(seen)
        odds = math.sqrt(score / (1 - score) * other_score / (1 - other_score))  # the mean of the logits
        score = final(odds / (1 + odds), of_first, square)
        shift = (shift + [-x2, y1, -x1, y2]) / 2
        if score > threshold and np.abs(shift).max() <= 1:
            kept.append((square, score, shift, (five + other_five) / 2))
    if not kept:
        return np.zeros((0, 4)), np.zeros(0), np.zeros((0, 4)), np.zeros((0, 5, 2))
    return tuple(np.array(values) for values in zip(*kept, strict=True))


def find_landmarks(model, copies, boxes):
    """Landmarks by the squares round the final boxes, on the average of both ways."""
    landmarks = []
    for x1, y1, x2, y2 in map(square_round, boxes):
        margin = kept_of(model).landmark_margin or kept_of(model).margin
        crop = cut(copies, with_margin((x1, y1, x2, y2), margin), 48)
        _, _, (five, seen) = forward(model, np.stack([crop, crop[:, ::-1]]))
        landmarks.append((x1, y1) + (five + mirrored_points(seen)) / 2 * (x2 - x1, y2 - y1))
    return np.array(landmarks).reshape(-1, 5, 2)


def mirrored_points(five):
    return np.array([(1 - x, y) for x, y in five[[1, 0, 2, 4, 3]]])  # left is right in the mirror


def forward(model, pixels):
    outputs = {name: np.asarray(output, np.float64) for name, output in model(pixels.astype(np.float32)).items()}
    odds = np.exp(outputs["face"])
    landmarks = outputs["landmarks"]
    return odds[..., 1] / odds.sum(axis=-1), outputs["offsets"], landmarks.reshape(*landmarks.shape[:-1], 5, 2)


def pixel_weights(positions, length):
    """Neighbours and weight of the second for bilinear samples at `positions` (edges at 0 and `length`)."""
    positions = np.clip(positions - 0.5, 0, length - 1)
    first = np.floor(positions).astype(int)
    return first, np.minimum(first + 1, length - 1), positions - first


def sample(image, ys, xs):
    top, bottom, down = pixel_weights(ys, image.shape[0])
    left, right, along = pixel_weights(xs, image.shape[1])
    down, along = down[:, None, None], along[None, :, None]
    upper = image[top][:, left] * (1 - along) + image[top][:, right] * along
    lower = image[bottom][:, left] * (1 - along) + image[bottom][:, right] * along
    return upper * (1 - down) + lower * down


def resize(image, height, width):
    ys = (np.arange(height) + 0.5) * image.shape[0] / height
    xs = (np.arange(width) + 0.5) * image.shape[1] / width
    return sample(image, ys, xs)


def cut(copies, square, size):
    x1, y1, x2, y2 = square
    k = copy_for((x2 - x1) / size)
    xs = (x1 + (np.arange(size) + 0.5) * (x2 - x1) / size) / 2**k
    ys = (y1 + (np.arange(size) + 0.5) * (y2 - y1) / size) / 2**k
    crop = sample(copies[k], ys, xs)
    # What lies more than half a pixel outside is black.
    crop[(ys < -0.5) | (ys > copies[k].shape[0] + 0.5)] = 0
    crop[:, (xs < -0.5) | (xs > copies[k].shape[1] + 0.5)] = 0
    return crop


def move(boxes, offsets):
    sides = boxes[:, [2, 3, 2, 3]] - boxes[:, [0, 1, 0, 1]]
    return boxes + offsets * sides


def not_empty(boxes, *others):
    keep = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return (boxes[keep], *(values[keep] for values in others))


def suppress(boxes, scores, limit, over):
    """Indices that greedy non-maximum suppression keeps, best first."""
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        if all(overlap(boxes[i], boxes[j], over) <= limit for j in kept):
            kept.append(i)
    return np.array(kept, int)


def overlap(a, b, over):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area_a, area_b = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    shared = width * height
    return shared / (area_a + area_b - shared if over == "union" else min(area_a, area_b))
