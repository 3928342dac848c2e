"""Asks TensorFlow Serving for the faces in images: `python serving/client.py IMAGE… --server=http://HOST:8501`.

Prints a line of JSON for each image. Needs Python's standard library and nothing else: copy this file wherever it
serves you.
"""

import argparse
import base64
import json
import sys
import urllib.error
import urllib.request


def detect(
    images: list[bytes],
    server: str = "http://localhost:8501",
    model: str = "cascade",
    version: int | None = None,
    seconds: float = 60.0,
) -> list[dict]:
    """The faces in each image: `boxes` [N, 4], `scores` [N] and `landmarks` [N, 5, 2] as lists, best score first.

    There are no `landmarks` of a detector that was trained without them. `num_errors` is 1 for an image that the
    server can't read, which then has no faces, and 0 for all others.

    Args:
        images: Contents of JPEG, PNG, BMP or WebP files; all go in one request. The server doesn't look at EXIF
            orientation.
        server: Where it listens to REST.
        model: What it calls the cascade.
        version: Which version of the cascade. By default the newest.
        seconds: How long to wait for an answer.

    Raises:
        OSError: The server did not answer.
        ValueError: There is no image, or the server refused the request.
    """
    if not images:
        raise ValueError("expected at least one image, got none")
    request = urllib.request.Request(
        f"{server.rstrip('/')}/v1/models/{model}{'' if version is None else f'/versions/{version}'}:predict",
        json.dumps(request_body(images)).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=seconds) as response:
            predictions = json.load(response)["predictions"]
    except urllib.error.HTTPError as error:
        raise ValueError(f"expected faces, got an error from {server}: {_reason(error)}") from error
    return [_without_padding(prediction) for prediction in predictions]


def request_body(images: list[bytes]) -> dict:
    """What to post: one instance for each image."""
    return {"instances": [{"image_bytes": {"b64": base64.b64encode(image).decode()}} for image in images]}


def _without_padding(prediction: dict) -> dict:
    """An image's faces without the zeros that bring all images of a request to as many faces."""
    num_faces = prediction.pop("num_faces")
    return {name: values[:num_faces] if isinstance(values, list) else values for name, values in prediction.items()}


def _reason(error: urllib.error.HTTPError) -> str:
    """The server's own words, where it has some."""
    try:
        return json.load(error)["error"]
    except (ValueError, KeyError, TypeError):
        return str(error)


def main() -> None:
    """Detects faces in the images named on the command line, one request for each."""
    parser = argparse.ArgumentParser(description="Asks TensorFlow Serving for the faces in images.")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a JPEG, PNG, BMP or WebP file")
    parser.add_argument("--server", default="http://localhost:8501", help="where it listens to REST [%(default)s]")
    parser.add_argument("--model", default="cascade", help="what it calls the cascade [%(default)s]")
    parser.add_argument("--version", type=int, help="version of the cascade [the newest]")
    arguments = parser.parse_args()
    num_failed = 0
    for path in arguments.images:
        try:
            with open(path, "rb") as file:
                faces = detect([file.read()], arguments.server, arguments.model, arguments.version)[0]
        except (OSError, ValueError) as error:
            num_failed += 1
            print(f"client.py: {path}: {error}", file=sys.stderr)
            continue
        if faces.get("num_errors"):
            num_failed += 1
            print(f"client.py: {path}: the server can't read it, or it is too large", file=sys.stderr)
            continue
        print(json.dumps({"image": path, **faces}, ensure_ascii=False), flush=True)
    sys.exit(1 if num_failed else 0)


if __name__ == "__main__":
    main()
