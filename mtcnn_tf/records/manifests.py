"""What lies in a folder of records, as its manifest tells, and whether it still is what was written.

RECORDS_DIR/STAGE/manifest.json names every shard with its size and SHA-256 sum; `data_prep.building` writes it last, so
that a folder without one is unfinished. There are two kinds of records: `CROPS` with their targets, see `records`, and
whole `IMAGES` with their boxes, see `image_records`.
"""

import hashlib
import json

import tqdm

from mtcnn_tf import files, landmark_sets, stages

MANIFEST = "manifest.json"
"""The file beside a stage's records that says what is in them."""
SPLITS = ("train", "validation")
CROPS, IMAGES = "crops", "images"
"""What the manifest calls the two kinds of records."""
NO_BACKGROUND = (
    "expected background to tell faces from, the records hold none; build them with a set whose faces are all "
    "annotated, or images without faces (folder:DIR)"
)
"""What is said where a training would see faces alone: images whose faces are not all annotated give no background."""

_NAMES = {CROPS: "crops cut in the build", IMAGES: "whole images"}
_HINTS = {CROPS: "--crops=in_records", IMAGES: "--crops=on_the_fly"}


def read(records_dir: str, stage: stages.Stage, wanted: str | None = None) -> dict:
    """The manifest of the stage's records, see `data_prep.building`.

    Args:
        records_dir: Where `data_prep.build` wrote; may be an address, see `files`.
        stage: Whose records.
        wanted: `CROPS` or `IMAGES` refuses records of the other kind.

    Raises:
        FileNotFoundError: There are no finished records of this stage.
        ValueError: A shard named by the manifest is missing or cut short, or the records are another stage's or of
            another kind.
    """
    stage_dir = files.as_path(records_dir) / stage.name
    path = stage_dir / MANIFEST
    if not files.is_file(path):
        present = [name for name in stages.BY_NAME if files.is_file(files.as_path(records_dir) / name / MANIFEST)]
        raise FileNotFoundError(
            f"expected finished {stage.name} records in {stage_dir}, found {' and '.join(present) or 'no'} records in "
            f"{records_dir}; build them: python -m data_prep.build --stage={stage.name} --out_dir={records_dir}"
        )
    manifest = json.loads(files.read_text(path))
    if manifest["stage"] != stage.name:
        raise ValueError(f"expected records of {stage.name} in {stage_dir}, got records of {manifest['stage']}")
    held = kind_of(manifest)
    if wanted not in (None, held):
        hint = f" with {_HINTS[wanted]}" if stage in stages.ON_CROPS else ""
        raise ValueError(
            f"expected records of {_NAMES[wanted]} in {stage_dir}, got records of {_NAMES.get(held, held)}; build "
            f"others into another folder: python -m data_prep.build --stage={stage.name}{hint}"
        )
    _refuse_damaged(
        [shard["file"] for shard in manifest["shards"] if not _has_size(stage_dir / shard["file"], shard["bytes"])],
        stage_dir,
        "missing or cut short",
    )
    return manifest


def kind_of(manifest: dict) -> str:
    """`CROPS` or `IMAGES`; manifests written before there were two kinds don't say."""
    return manifest.get("records", CROPS)


def _has_size(path: files.Path, num_bytes: int) -> bool:
    return files.is_file(path) and files.num_bytes(path) == num_bytes


def check_shards(records_dir: str, stage: stages.Stage) -> None:
    """Reads all shards of the stage and makes sure that they hold what was written, by the manifest's SHA-256 sums.

    Raises:
        FileNotFoundError, ValueError: See `read`; or a shard holds something else.
    """
    entries = read(records_dir, stage)["shards"]
    stage_dir = files.as_path(records_dir) / stage.name
    bar = tqdm.tqdm(entries, desc="checking records", unit=" shards", disable=None, leave=False)
    damaged = [entry["file"] for entry in bar if files.sha256(stage_dir / entry["file"]) != entry["sha256"]]
    _refuse_damaged(damaged, stage_dir, "not what was written, by their SHA-256")


def _refuse_damaged(damaged: list[str], stage_dir: files.Path, how: str) -> None:
    if damaged:
        raise ValueError(
            f"{len(damaged)} shards of {stage_dir} are {how}, the first {damaged[0]}; "
            "the command that built them, given again, repairs them (python -m data_prep.build "
            f"--stage={stage_dir.name})"
        )


def digest(manifest: dict) -> str:
    """A SHA-256 that tells the records from all others, from those of their shards."""
    lines = [f"{entry['file']} {entry['sha256']}\n" for entry in manifest["shards"]]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def margin(manifest: dict) -> float:
    """How many times their squares the crops of a manifest show; once where records are older than margins."""
    return _recipe(manifest).get("margin", 1.0)


def landmark_set(manifest: dict) -> landmark_sets.LandmarkSet:
    """The points of the faces of a manifest; five where records are older than other sets."""
    described = _recipe(manifest).get("landmark_set")
    return landmark_sets.from_dict(described) if described else landmark_sets.FIVE


def _recipe(manifest: dict) -> dict:
    return manifest.get("settings", {}).get("recipe", {})
