"""A detector behind HTTP, in as many processes as wanted: `uvicorn serving.app:app --workers=2`.

Needs the package and `pip install fastapi uvicorn`. Each process loads its own detector when it starts: one that was
loaded before a fork would hang in TensorFlow, which is why it refuses to work there.
"""

import contextlib
import os
from collections.abc import AsyncIterator

import fastapi
from fastapi import concurrency

import mtcnn_tf

MAX_BYTES = 20_000_000
MAX_PIXELS = 25_000_000
"""Of an image, and of what it is enlarged to where `min_face_size` is small: about 6 GB of memory at most."""


@contextlib.asynccontextmanager
async def load(app: fastapi.FastAPI) -> AsyncIterator[None]:
    """Loads the detector of this process, from the folder that the environment variable MODEL names, if it does."""
    app.state.detector = mtcnn_tf.load(os.environ.get("MODEL", "default"))
    yield


app = fastapi.FastAPI(lifespan=load)


@app.post("/detect")
async def detect(request: fastapi.Request, min_face_size: float = 20.0) -> dict:
    """The faces in the image file that is the request's body: boxes, scores and landmarks, best score first."""
    image = bytearray()
    async for part in request.stream():
        image += part
        if len(image) > MAX_BYTES:
            raise fastapi.HTTPException(413, f"expected an image of at most {MAX_BYTES:,} bytes, got more")
    try:
        found = await concurrency.run_in_threadpool(
            app.state.detector, bytes(image), min_face_size=min_face_size, max_pixels=MAX_PIXELS
        )
    except (ValueError, MemoryError) as error:
        raise fastapi.HTTPException(400, str(error)) from error
    return found.to_dict()
