// The page of tracking/demo.py: it asks the server for everything and keeps nothing. Boxes are x, y, w, h in pixels of the
// video. Names are put in as text, never as markup.
"use strict";

const $ = (id) => document.getElementById(id);
const LEAST = 8; // pixels of the page, below which a drag is a click
const HANDLE = 14; // pixels around a corner that take hold of it

let server = null; // what /api/state answers
let video = null; // the open video, as the server describes it
let targets = []; // {name, box}
let chosen = -1; // the number of the selected target
let rows = []; // tracked frames: [number, time, [[x, y, w, h, score, lost], ...]]
let shown = 0; // the row that is looked at
let source = null; // the server's events

const setState = (state) => {
  document.body.dataset.state = state;
  for (const step of document.querySelectorAll(".steps li")) {
    if (step.dataset.step === state) step.setAttribute("aria-current", "step");
    else step.removeAttribute("aria-current");
  }
};
const state = () => document.body.dataset.state;
const color = (number) => server.colors[number % server.colors.length];
const fail = (text) => {
  $("error").textContent = text;
  $("error").hidden = !text;
};
const api = (path) => `/api/videos/${video.id}/${path}`;
const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
const rate = (speed) => `${speed < 10 ? speed.toFixed(1) : Math.round(speed)} frames/s`;
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

async function ask(path, content) {
  const options = content === undefined ? {} : { method: "POST", body: JSON.stringify(content) };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer; start python tracking/demo.py again.");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

// Runs what a button is for; a mistake is shown, and the button waits meanwhile.
const on = (id, event, work) =>
  $(id).addEventListener(event, async (...given) => {
    fail("");
    $(id).disabled = true;
    try {
      await work(...given);
    } catch (error) {
      fail(error.message);
    } finally {
      $(id).disabled = false;
      enable();
    }
  });
const enable = () => ($("track").disabled = targets.length === 0);

// --- choose

async function begin() {
  server = await ask("/api/state");
  $("limit").textContent = `Up to ${Math.round(server.limit / 1e6)} MB: MP4, MOV, WebM, MKV, AVI`;
  listTrackers();
}

function listTrackers() {
  const before = $("tracker").value;
  $("tracker").replaceChildren(
    ...server.trackers.map(({ label, detail }, number) => new Option(`${label} · ${detail}`, number)),
  );
  if (before) $("tracker").value = before;
  const { speed } = server.trackers[$("tracker").value] ?? {};
  $("speed").textContent = speed ? `${rate(speed)} when last used here` : "Speed not measured yet";
}

function upload(file) {
  if (file.size > server.limit) {
    const most = Math.round(server.limit / 1e6);
    throw new Error(`${file.name}: larger than ${most} MB; choose a shorter video, or start the demo with a larger --limit.`);
  }
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/videos?name=${encodeURIComponent(file.name)}`);
    request.responseType = "json";
    request.upload.onprogress = (event) => {
      $("uploaded").value = event.loaded / event.total;
      $("uploading").textContent = event.loaded < event.total ? `${Math.round((100 * event.loaded) / event.total)} %` : "opening";
    };
    request.onload = () =>
      request.status === 200 ? resolve(request.response) : reject(new Error(request.response?.error ?? "The upload failed."));
    request.onerror = () => reject(new Error("The upload broke off; is the server still running?"));
    $("upload").hidden = false;
    request.send(file);
  }).finally(() => ($("upload").hidden = true));
}

async function show(opened) {
  video = opened;
  [targets, chosen, rows] = [[], -1, []];
  const frame = $("frame").style;
  frame.aspectRatio = `${video.width} / ${video.height}`;
  frame.width = `calc(64vh * ${video.width / video.height})`;
  const image = new Image();
  image.src = api("first.jpg");
  await image.decode();
  paintPicture(image);
  video.image = image;
  setState("drawing");
  listTargets();
}

function paintPicture(image) {
  const canvas = $("picture");
  if (canvas.width !== image.naturalWidth || canvas.height !== image.naturalHeight) {
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  }
  canvas.getContext("2d").drawImage(image, 0, 0);
}

async function leave() {
  source?.close();
  if (video) await ask(api("close"), {}).catch(() => {});
  video = null;
  $("video").removeAttribute("src");
  $("video").load();
  setState("empty");
}

on("file", "change", async () => {
  const [file] = $("file").files;
  $("file").value = "";
  if (file) await show(await upload(file));
});
on("clip", "click", async () => show(await ask("/api/clip", {})));
on("other", "click", leave);
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  window.addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", name === "dragenter" || name === "dragover");
  });
}
on("drop", "drop", async (event) => {
  const [file] = event.dataTransfer.files;
  if (file) await show(await upload(file));
});
window.addEventListener("pagehide", () => video && navigator.sendBeacon(api("close"), "{}"));
window.addEventListener("pageshow", (event) => event.persisted && location.reload());

// --- draw

function listTargets() {
  $("targets").replaceChildren(
    ...targets.map((target, number) => {
      const item = document.createElement("li");
      const mark = document.createElement("i");
      mark.style.background = color(number);
      const name = document.createElement("input");
      Object.assign(name, { type: "text", value: target.name, maxLength: 40, spellcheck: false });
      name.setAttribute("aria-label", `Name of target ${number + 1}`);
      name.addEventListener("input", () => {
        target.name = name.value;
        paint();
      });
      name.addEventListener("focus", () => choose(number));
      const score = document.createElement("output");
      const remove = document.createElement("button");
      Object.assign(remove, { type: "button", textContent: "×", title: "Delete" });
      remove.setAttribute("aria-label", `Delete target ${number + 1}`);
      remove.addEventListener("click", () => discard(number));
      item.append(mark, name, score, remove);
      return item;
    }),
  );
  choose(chosen);
  enable();
}

function choose(number) {
  chosen = number;
  [...$("targets").children].forEach((item, each) => item.classList.toggle("chosen", each === number));
  paint();
}

function discard(number) {
  targets.splice(number, 1);
  chosen = -1;
  listTargets();
}

function freeName() {
  let number = 1;
  while (targets.some(({ name }) => name === `target ${number}`)) number += 1;
  return `target ${number}`;
}

// Draws boxes over the picture: those of the targets, or what was found in a row.
function paint(row) {
  const canvas = $("overlay");
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!video || !width) return;
  const dense = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [Math.round(width * dense), Math.round(height * dense)];
  const pen = canvas.getContext("2d");
  pen.scale(dense, dense);
  const scale = width / video.width;
  $("hint").hidden = targets.length > 0;
  targets.forEach((target, number) => {
    const found = row ? row[2][number] : target.box;
    if (!found) return;
    const [x, y, w, h] = found.slice(0, 4).map((side) => side * scale);
    const lost = row && found[5];
    pen.strokeStyle = pen.fillStyle = lost ? "#bebebe" : color(number);
    pen.lineWidth = lost ? 1.5 : 2.5;
    pen.setLineDash(lost ? [5, 4] : []);
    pen.strokeRect(x, y, w, h);
    if (!row && number === chosen) {
      for (const [left, top] of corners([x, y, w, h])) pen.fillRect(left - 4, top - 4, 8, 8);
    }
    const text = lost ? `${target.name} ?` : target.name;
    pen.font = "600 12px system-ui, sans-serif";
    const wide = Math.min(pen.measureText(text).width + 12, width);
    const left = clamp(x - 1, 0, width - wide);
    const top = y < 20 ? Math.max(y, 0) : y - 19;
    pen.fillRect(left, top, wide, 19);
    pen.fillStyle = "#000";
    pen.fillText(text, left + 6, top + 14, width - 12);
  });
}

const corners = ([x, y, w, h]) => [[x, y], [x + w, y], [x, y + h], [x + w, y + h]];

// What a pointer takes hold of: a corner of the chosen box, a box, or the ground, where a new box begins.
function grasp([x, y], near) {
  if (chosen >= 0) {
    const found = corners(targets[chosen].box);
    const corner = found.findIndex(([left, top]) => Math.hypot(left - x, top - y) < near);
    if (corner >= 0) return { number: chosen, anchor: found[3 - corner] };
    const [left, top, w, h] = targets[chosen].box;
    if (x >= left && x <= left + w && y >= top && y <= top + h) return { number: chosen, offset: [x - left, y - top] };
  }
  return { number: -1, anchor: [x, y] };
}

function between([x, y], [left, top]) {
  return [Math.min(x, left), Math.min(y, top), Math.abs(x - left), Math.abs(y - top)];
}

let held = null;
const position = (event) => {
  const place = $("overlay").getBoundingClientRect();
  const scale = video.width / place.width;
  return [
    clamp((event.clientX - place.left) * scale, 0, video.width),
    clamp((event.clientY - place.top) * scale, 0, video.height),
  ];
};
const drawn = (event) => {
  const point = position(event);
  if (held.offset) {
    const [, , w, h] = targets[held.number].box;
    return [clamp(point[0] - held.offset[0], 0, video.width - w), clamp(point[1] - held.offset[1], 0, video.height - h), w, h];
  }
  return between(point, held.anchor);
};
$("overlay").addEventListener("pointerdown", (event) => {
  if (state() !== "drawing" || event.button !== 0) return;
  $("overlay").setPointerCapture(event.pointerId);
  const scale = video.width / $("overlay").clientWidth;
  held = { ...grasp(position(event), HANDLE * scale), least: LEAST * scale };
});
$("overlay").addEventListener("pointermove", (event) => {
  if (!held) return;
  const box = drawn(event);
  if (held.number < 0) {
    if (Math.min(box[2], box[3]) < held.least) return;
    if (targets.length >= server.most) {
      held = null;
      fail(`At most ${server.most} targets.`);
      return;
    }
    held.number = targets.push({ name: freeName(), box }) - 1;
    chosen = held.number;
    listTargets();
  }
  if (Math.min(box[2], box[3]) >= held.least / 2) targets[held.number].box = box;
  paint();
});
$("overlay").addEventListener("pointerup", (event) => {
  if (held?.number < 0) {
    const [x, y] = position(event);
    choose(targets.findLastIndex(({ box: [left, top, w, h] }) => x >= left && x <= left + w && y >= top && y <= top + h));
  }
  held = null;
});
$("overlay").addEventListener("pointercancel", () => (held = null));
$("overlay").addEventListener("keydown", (event) => {
  if (state() === "drawing" && chosen >= 0 && (event.key === "Delete" || event.key === "Backspace")) discard(chosen);
});

// --- track

on("track", "click", async () => {
  $("video").pause();
  await ask(api("track"), { tracker: Number($("tracker").value), targets });
  [rows, shown] = [[], 0];
  setState("tracking");
  $("progress").removeAttribute("value");
  $("progressed").textContent = "opening the tracker";
  $("tracker").disabled = $("measure").disabled = true;
  paint();
  paintPlot();
  source = new EventSource(api("events"));
  source.addEventListener("rows", (event) => receive(JSON.parse(event.data)));
  source.addEventListener("end", (event) => finish(JSON.parse(event.data)));
  source.onerror = () => finish({ state: "failed", message: "The server does not answer; start python tracking/demo.py again." });
});
on("stop", "click", () => ask(api("stop"), {}));

async function receive(message) {
  rows.push(...message.rows);
  progress(message);
  paintPlot();
  if (message.picture === undefined) return;
  const image = new Image();
  image.src = `data:image/jpeg;base64,${message.picture}`;
  await image.decode();
  if (state() !== "tracking" || message.shown < shown) return;
  shown = message.shown;
  paintPicture(image);
  paint(rows[shown]);
  showScores();
}

function progress({ count, length, speed }) {
  if (length) $("progress").value = clamp(count / length, 0, 1);
  const left = length && speed ? ` · ${Math.ceil(Math.max(0, length - count) / speed)} s left` : "";
  $("progressed").textContent = `${count}${length ? ` of ${length}` : ""} frames · ${speed ? rate(speed) : "…"}${left}`;
}

async function finish(end) {
  source.close();
  $("tracker").disabled = $("measure").disabled = false;
  if (end.message) fail(end.message);
  if (end.state === "failed" || rows.length === 0) {
    paintPicture(video.image);
    setState("drawing");
    paint();
    return;
  }
  const fresh = `${Date.now()}`;
  $("video").src = `${api("files/tracked.mp4")}?${fresh}`;
  for (const [id, name] of [["mp4", "tracked.mp4"], ["json", "tracks.json"], ["csv", "tracks.csv"]]) {
    $(id).href = `${api(`files/${name}`)}?save&${fresh}`;
  }
  const how = end.state === "stopped" ? "Stopped after" : "Tracked";
  $("summary").textContent = `${how} ${rows.length} frames at ${rate(end.speed)}, ${targets.length} target${targets.length > 1 ? "s" : ""}.`;
  $("scrub").max = rows.length - 1;
  $("maps-card").hidden = !end.maps;
  $("pictures").replaceChildren();
  setState("done");
  look(0);
  ({ trackers: server.trackers } = await ask("/api/state"));
  listTrackers();
}

on("again", "click", () => {
  $("video").pause();
  paintPicture(video.image);
  setState("drawing");
  listTargets();
});

// --- look

// Shows a row: in the video, on the slider, in the plot and in the list.
function look(number, seek = true) {
  shown = clamp(number, 0, rows.length - 1);
  if (seek) {
    const next = rows[shown + 1]?.[1] ?? rows[shown][1] + 1 / video.rate;
    $("video").currentTime = (rows[shown][1] + next) / 2; // the middle of the frame
  }
  $("scrub").value = shown;
  $("scrub").setAttribute("aria-valuetext", `frame ${rows[shown][0]}, ${rows[shown][1].toFixed(2)} s`);
  $("time").textContent = `${clock(rows[shown][1])} · frame ${rows[shown][0]}`;
  showScores();
  paintPlot();
}

function rowAt(time) {
  let [low, high] = [0, rows.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (rows[middle][1] <= time + 1e-4) low = middle;
    else high = middle - 1;
  }
  return low;
}

function showScores() {
  [...$("targets").querySelectorAll("output")].forEach((output, number) => {
    const found = rows[shown]?.[2][number];
    output.textContent = found ? (found[5] ? "lost" : found[4].toFixed(2)) : "";
  });
}

function follow() {
  if (state() === "done" && !$("video").paused) {
    look(rowAt($("video").currentTime), false);
    requestAnimationFrame(follow);
  }
}
$("play").addEventListener("click", () => {
  if (!$("video").paused) $("video").pause();
  else $("video").play().catch(() => fail("This browser cannot play the video; download it instead."));
});
for (const name of ["play", "pause", "ended"]) {
  $("video").addEventListener(name, () => {
    const playing = !$("video").paused && !$("video").ended;
    $("play").classList.toggle("playing", playing);
    $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    if (playing) requestAnimationFrame(follow);
  });
}
$("video").addEventListener("click", () => $("play").click());
$("scrub").addEventListener("input", () => {
  $("video").pause();
  look(Number($("scrub").value));
});

const MARGIN = { left: 26, right: 8, top: 8, bottom: 18 };

function plotArea() {
  const { clientWidth: width, clientHeight: height } = $("plot");
  const span = { wide: width - MARGIN.left - MARGIN.right, high: height - MARGIN.top - MARGIN.bottom };
  const last = rows.at(-1)?.[1] ?? 0;
  const whole = state() === "tracking" && video.length ? Math.max(last, (video.length - 1) / video.rate) : last;
  return { width, height, ...span, end: whole || 1 };
}

function paintPlot() {
  const canvas = $("plot");
  const area = plotArea();
  if (area.width === 0) return;
  const dense = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [Math.round(area.width * dense), Math.round(area.height * dense)];
  const pen = canvas.getContext("2d");
  pen.scale(dense, dense);
  const style = getComputedStyle(document.body);
  const [rule, faint, ink] = ["--rule", "--faint", "--ink"].map((name) => style.getPropertyValue(name));
  const x = (time) => MARGIN.left + (time / area.end) * area.wide;
  const y = (score) => MARGIN.top + (1 - clamp(score, 0, 1)) * area.high;
  pen.font = "11px system-ui, sans-serif";
  pen.textAlign = "right";
  for (const score of [0, 0.5, 1]) {
    pen.strokeStyle = rule;
    pen.beginPath();
    pen.moveTo(MARGIN.left, Math.round(y(score)) + 0.5);
    pen.lineTo(area.width - MARGIN.right, Math.round(y(score)) + 0.5);
    pen.stroke();
    pen.fillStyle = faint;
    pen.fillText(String(score), MARGIN.left - 6, y(score) + 4);
  }
  const every = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600].find((step) => area.end / step <= area.wide / 60) ?? 1200;
  pen.textAlign = "center";
  for (let time = 0; time <= area.end + 1e-6; time += every) {
    pen.fillText(every < 1 ? `${time.toFixed(1)} s` : `${time} s`, clamp(x(time), MARGIN.left, area.width - 16), area.height - 4);
  }
  const stride = Math.max(1, Math.floor(rows.length / (2 * area.wide)));
  targets.forEach((_, number) => {
    pen.strokeStyle = color(number);
    pen.lineWidth = 1.8;
    pen.lineJoin = "round";
    pen.beginPath();
    let begun = false;
    for (let each = 0; each < rows.length; each += stride) {
      const found = rows[each][2][number];
      if (!found) continue;
      if (begun) pen.lineTo(x(rows[each][1]), y(found[4]));
      else pen.moveTo(x(rows[each][1]), y(found[4]));
      begun = true;
    }
    pen.stroke();
  });
  if (state() === "done" && rows.length) {
    const at = x(rows[shown][1]);
    pen.strokeStyle = ink;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(at, MARGIN.top);
    pen.lineTo(at, area.height - MARGIN.bottom);
    pen.stroke();
    targets.forEach((_, number) => {
      const found = rows[shown][2][number];
      if (!found) return;
      pen.fillStyle = color(number);
      pen.beginPath();
      pen.arc(at, y(found[4]), 3.5, 0, 2 * Math.PI);
      pen.fill();
    });
  }
}

const seek = (event) => {
  if (state() !== "done" || (event.type === "pointermove" && !(event.buttons & 1))) return;
  $("video").pause();
  const area = plotArea();
  const along = (event.clientX - $("plot").getBoundingClientRect().left - MARGIN.left) / area.wide;
  look(rowAt(clamp(along, 0, 1) * area.end));
};
$("plot").addEventListener("pointerdown", (event) => {
  $("plot").setPointerCapture(event.pointerId);
  seek(event);
});
$("plot").addEventListener("pointermove", seek);

on("maps", "click", async () => {
  $("video").pause();
  const { maps } = await ask(`${api("maps")}?frame=${shown}`);
  $("pictures").replaceChildren(
    ...maps.map(({ target, name, picture }) => {
      const figure = document.createElement("figure");
      const caption = document.createElement("figcaption");
      caption.textContent = `${target}: ${name}, frame ${rows[shown][0]}`;
      const image = new Image();
      Object.assign(image, { src: picture, alt: caption.textContent });
      figure.append(caption, image);
      return figure;
    }),
  );
});

on("measure", "click", async () => {
  const number = Number($("tracker").value);
  $("speed").textContent = "measuring …";
  try {
    ({ speed: server.trackers[number].speed } = await ask(`/api/trackers/${number}/measure`, {}));
  } finally {
    listTrackers();
  }
});
$("tracker").addEventListener("change", listTrackers);
new ResizeObserver(() => {
  if (!video) return;
  paint(state() === "tracking" ? rows[shown] : undefined);
  paintPlot();
}).observe($("work"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paintPlot);

setState("empty");
begin().catch((error) => fail(error.message));
