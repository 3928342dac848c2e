/** Faces in pictures, found in the page itself by the model that `export.py --format=litert` writes. */

const RUNTIME = new URL("node_modules/@litertjs/core/wasm/", import.meta.url).href;

/** The detector whose model lies at `url`; an Error with one sentence if there is none that can run. */
export async function load(url) {
  const litert = await startRuntime();
  const model = await compile(litert, url);
  const detector = new Detector(litert, model);
  await detector.detect(new OffscreenCanvas(1, 1)); // the first run prepares what the others use
  return detector;
}

class Detector {
  #litert;
  #model;
  #context;

  constructor(litert, model) {
    [this.height, this.width] = model.getInputDetails()[0].shape;
    this.#litert = litert;
    this.#model = model;
    this.#context = new OffscreenCanvas(this.width, this.height).getContext("2d", { willReadFrequently: true });
    this.#context.imageSmoothingQuality = "high";
  }

  /**
   * Faces in a picture (an ImageBitmap or a canvas), best score first: `box` [x1, y1, x2, y2] and `landmarks`, an
   * [x, y] each unless the model has none, in the picture's pixels, and `score`.
   */
  async detect(picture) {
    const scale = Math.min(this.width / picture.width, this.height / picture.height);
    const image = new this.#litert.Tensor(this.#fit(picture, scale), [this.height, this.width, 3]);
    const outputs = await this.#model.run({ image });
    const { boxes, scores, landmarks, num_faces } = read(outputs);
    const size = landmarks ? landmarks.length / scores.length : 0; // two numbers for each of a face's points
    [image, ...Object.values(outputs)].forEach((tensor) => tensor.delete());
    return Array.from({ length: num_faces[0] }, (_, i) => ({
      box: within(picture, unscaled(boxes.slice(4 * i, 4 * i + 4), scale)),
      score: scores[i],
      landmarks: landmarks ? inPairs(unscaled(landmarks.slice(size * i, size * (i + 1)), scale)) : [],
    }));
  }

  /** RGB of the picture in the model's size: at the upper left, its aspect kept, black beyond. */
  #fit(picture, scale) {
    this.#context.fillRect(0, 0, this.width, this.height);
    this.#context.drawImage(picture, 0, 0, picture.width * scale, picture.height * scale);
    const rgba = this.#context.getImageData(0, 0, this.width, this.height).data;
    const rgb = new Uint8Array((rgba.length / 4) * 3);
    for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
      rgb[to] = rgba[from];
      rgb[to + 1] = rgba[from + 1];
      rgb[to + 2] = rgba[from + 2];
    }
    return rgb;
  }
}

async function startRuntime() {
  try {
    const litert = await import("@litertjs/core");
    await (litert.getGlobalLiteRtPromise() ?? litert.loadLiteRt(RUNTIME));
    return litert;
  } catch (error) {
    console.error(error);
    throw new Error("LiteRT could not be started: run npm install in the page's folder, and use a browser of today.");
  }
}

async function compile(litert, url) {
  const response = await fetch(url);
  if (!response.ok) {
    throw new Error(`There is no model at ${url}: put the one that export.py --format=litert wrote there.`);
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  try {
    const model = await litert.loadAndCompile(bytes, { accelerator: "wasm" });
    const [{ name, dtype, shape }] = model.getInputDetails();
    if (name === "image" && dtype === "uint8" && shape.length === 3) return model;
  } catch (error) {
    console.error(error);
  }
  throw new Error(`The file ${url} is no detector that export.py --format=litert wrote.`);
}

function read(outputs) {
  return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, tensor.toTypedArray()]));
}

function unscaled(values, scale) {
  return Array.from(values, (value) => value / scale);
}

function within({ width, height }, [x1, y1, x2, y2]) {
  return [Math.max(x1, 0), Math.max(y1, 0), Math.min(x2, width), Math.min(y2, height)];
}

function inPairs(values) {
  return Array.from({ length: values.length / 2 }, (_, i) => [values[2 * i], values[2 * i + 1]]);
}
