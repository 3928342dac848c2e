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
