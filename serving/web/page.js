/** What the page does: a picture or the camera goes in, boxes and points are drawn. */

import { load } from "./detector.js";

const MODEL = "detector.tflite";
const COLOUR = "#3ddc97";

const [view, hint, controls, file, camera, threshold, thresholdValue, state, problem, numbers] =
  "view hint controls file camera threshold threshold-value state problem numbers"
    .split(" ")
    .map((id) => document.getElementById(id));
const context = view.getContext("2d");

let detector;
let source = {}; // a picture or the camera; what comes late from the one before is dropped
let shown; // the picture, its faces, and how long they took

async function start() {
  try {
    detector = await load(MODEL);
    controls.disabled = false;
    state.textContent = `Ready. The model sees ${detector.width} × ${detector.height} pixels.`;
  } catch (error) {
    fail(error.message);
  }
}

function fail(sentence) {
  state.textContent = "";
  problem.textContent = sentence;
}

function begin(next) {
  source.stop?.();
  source = next;
  problem.textContent = "";
  return next;
}

async function showFile(chosen) {
  if (!detector || !chosen) return;
  const mine = begin({});
  state.textContent = "Looking …";
  let picture;
  try {
    picture = await createImageBitmap(chosen);
  } catch {
    if (source === mine) fail(`${chosen.name} can't be read as a picture: choose a JPEG, PNG or WebP file.`);
    return;
  }
  await look(picture, mine);
}

async function toggleCamera() {
  if (source.isCamera) {
    begin({});
    return;
  }
  try {
    await watch(await openCamera());
  } catch (error) {
    begin({});
    fail(cameraProblem(error));
  }
}

async function openCamera() {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
  const video = Object.assign(document.createElement("video"), { srcObject: stream, muted: true, playsInline: true });
  await video.play();
  return { video, stream };
}

/** Looks at frame after frame until another source begins. */
async function watch({ video, stream }) {
  const mine = begin({
    isCamera: true,
    stop() {
      stream.getTracks().forEach((track) => track.stop());
      setCamera(false);
    },
  });
  setCamera(true);
  while (source === mine) {
    await look(await createImageBitmap(video), mine);
    await new Promise(requestAnimationFrame);
  }
}

function setCamera(isOn) {
  camera.textContent = isOn ? "Stop the camera" : "Use the camera";
  state.setAttribute("aria-live", isOn ? "off" : "polite"); // not every frame is read out
}

function cameraProblem(error) {
  if (!navigator.mediaDevices) return "Browsers give the camera to pages of https or localhost alone.";
  if (error.name === "NotAllowedError") return "The camera may not be used: allow it for this page in the browser.";
  return `The camera can't be used: ${error.message}.`;
}

async function look(picture, mine) {
  const started = performance.now();
  const faces = await detector.detect(picture);
  if (source !== mine) {
    picture.close();
    return;
  }
  shown?.picture.close();
  shown = { picture, faces, milliseconds: performance.now() - started };
  show();
}

function show() {
  thresholdValue.textContent = Number(threshold.value).toFixed(2);
  if (!shown) return;
  const { picture, milliseconds } = shown;
  const faces = shown.faces.filter(({ score }) => score >= threshold.value);
  draw(picture, faces);
  const counted = faces.length === 1 ? "1 face" : `${faces.length || "No"} faces`;
  state.textContent = `${counted}, ${milliseconds.toFixed(0)} ms.`;
  view.setAttribute("aria-label", `The picture, with ${counted.toLowerCase()} marked`);
  numbers.textContent = asJson(faces);
}

function draw(picture, faces) {
  hint.hidden = true;
  view.hidden = false;
  [view.width, view.height] = [picture.width, picture.height];
  context.drawImage(picture, 0, 0);
  const unit = Math.max(picture.width, picture.height) / 300;
  faces.forEach((face) => drawFace(face, unit));
}

function drawFace({ box: [x1, y1, x2, y2], score, landmarks }, unit) {
  for (const [colour, width] of [["#000a", 2 * unit], [COLOUR, unit]]) {
    [context.strokeStyle, context.lineWidth] = [colour, width];
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  }
  for (const [x, y] of landmarks) {
    context.beginPath();
    context.arc(x, y, 1.2 * unit, 0, 2 * Math.PI);
    [context.fillStyle, context.strokeStyle, context.lineWidth] = [COLOUR, "#000a", unit / 2];
    context.stroke();
    context.fill();
  }
  drawLabel(score.toFixed(2), x1, y1, unit);
}

/** The score on top of the box, inside it where there is no room above. */
function drawLabel(text, x, y, unit) {
  const height = 9 * unit;
  const top = Math.max(y - height, 0);
  context.font = `600 ${7 * unit}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  context.fillStyle = COLOUR;
  context.fillRect(x, top, context.measureText(text).width + 4 * unit, height);
  context.fillStyle = "#002015";
  context.fillText(text, x + 2 * unit, top + height / 2);
}

/** Lists of boxes, scores and landmarks, like those of the package's Detections.to_dict. */
function asJson(faces) {
  const rounded = (_, value) => (typeof value === "number" ? Number(value.toFixed(4)) : value);
  const lists = {
    boxes: faces.map(({ box }) => box),
    scores: faces.map(({ score }) => score),
    landmarks: faces.map(({ landmarks }) => landmarks),
  };
  return JSON.stringify(lists, rounded);
}

function onDrop(event) {
  event.preventDefault();
  showFile(event.dataTransfer.files[0]);
}

file.addEventListener("change", () => showFile(file.files[0]));
camera.addEventListener("click", toggleCamera);
threshold.addEventListener("input", show);
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", onDrop);
window.addEventListener("unhandledrejection", ({ reason }) => fail(`The detector failed: ${reason.message}.`));
start();
