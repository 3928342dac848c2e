"""The four kinds of training examples, and which targets count for each.

Zhang et al. 2016, section III.A: positives have an IoU of at least 0.65 with a face, parts 0.4–0.65, negatives less
than 0.3; landmark crops carry points. Section II.C: positives and negatives feed the face loss, positives and parts
the box loss, landmark crops the landmark loss.
"""

NEGATIVE, POSITIVE, PART, LANDMARK = range(4)
NAMES = ("negative", "positive", "part", "landmark")
"""`NAMES[kind]` is the kind's word in file names and flags."""

WITH_FACE_LABEL = (NEGATIVE, POSITIVE)
WITH_OFFSETS = (POSITIVE, PART)
WITH_LANDMARKS = (LANDMARK,)


def rows_per_kind(mix: dict[str, int], batch_size: int) -> dict[str, int]:
    """How many rows of a batch each kind gets: `batch_size` in all, in proportion to the mix, at least one each.

    Raises:
        ValueError: The batch has fewer rows than the mix has kinds.
    """
    if batch_size < len(mix):
        raise ValueError(
            f"expected a batch of at least {len(mix)} rows, one for each kind of the mix, got {batch_size}"
        )
    total, given, counts = sum(mix.values()), 0, {}
    remaining = len(mix)
    for name, fraction in mix.items():
        remaining -= 1
        wanted = round(batch_size * fraction / total)
        counts[name] = min(max(1, wanted), batch_size - given - remaining) if remaining else batch_size - given
        given += counts[name]
    return counts
