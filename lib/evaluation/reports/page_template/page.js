"use strict";
// Draws the page out of the JSON beside it. Names of trackers and sequences become text nodes, never markup.
// A sequence may be named "constructor": objects of the data have no other keys than their own.
const bare = (key, value) =>
  typeof value === "object" && value && !Array.isArray(value) ? Object.setPrototypeOf(value, null) : value;
const pageData = JSON.parse(document.getElementById("data").textContent, bare);
const SVG = "http://www.w3.org/2000/svg";
const DASHES = ["none", "7 3", "2 2", "7 2 2 2", "12 4", "4 2 1 2 1 2", "2 5"];
const KINDS = {
  success: ["success", "overlap threshold"],
  precision: ["precision", "centre error threshold, pixels"],
  norm_precision: ["normalised precision", "centre error threshold, in target sizes"],
};

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
const make = (tag, properties = {}, ...children) => fill(document.createElement(tag), properties, children);
const shape = (tag, properties = {}, ...children) => fill(document.createElementNS(SVG, tag), properties, children);
// One decimal. An exact tie goes to the even digit, as in the tables that Python prints: of .25 and .75, toFixed would
// round the first one up.
function percent(value) {
  const exact = 100 * value;
  return (Math.abs(exact) % 1 === 0.25 ? exact - 0.01 * Math.sign(exact) : exact).toFixed(1);
}
const words = (...chosen) => chosen.filter(Boolean).join(" ") || null;
const isNumber = (value) => typeof value === "number";

// What a cell shows of a score: its mean, the deviation over runs, and the interval below.
function scoreCell(score, best) {
  if (!score || !isNumber(score.mean)) return { text: score ? "no number" : "–", value: null, number: true };
  const text = percent(score.mean) + (isNumber(score.deviation) ? " ± " + percent(score.deviation) : "");
  const interval = isNumber(score.low) ? "[" + percent(score.low) + ", " + percent(score.high) + "]" : null;
  return { text, small: interval, value: score.mean, number: true, best: score.mean === best };
}
const plainCell = (value) => scoreCell(isNumber(value) ? { mean: value } : null);

// A table sorted by a click on a column's head; `order` keeps column and direction while protocols change.
function table(caption, columns, rows, order) {
  const body = make("tbody");
  const heads = columns.map((column, number) => {
    const button = make("button", { type: "button", onclick: () => turn(number) }, column.name);
    return make("th", { scope: "col", class: words(column.number && "number", column.label && "label") }, button);
  });
  const lines = rows.map((cells) => ({
    cells,
    element: make("tr", {}, ...cells.map((cell, number) => {
      const classes = words(cell.number && "number", cell.wide && "words", cell.best && "best");
      const small = cell.small ? make("small", {}, cell.small) : null;
      const title = isNumber(cell.value) && cell.number ? String(cell.value) : null;
      const properties = number === 0 ? { scope: "row" } : { class: classes, title };
      return make(number === 0 ? "th" : "td", properties, cell.node ?? cell.text, small);
    })),
  }));
  function turn(number) {
    const same = order.column === columns[number].name;
    order.ascending = same ? !order.ascending : !columns[number].number;
    order.column = columns[number].name;
    sort();
  }
  function sort() {
    const number = columns.findIndex((column) => column.name === order.column);
    heads.forEach((head, place) => {
      if (place === number) head.setAttribute("aria-sort", order.ascending ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    const sign = order.ascending ? 1 : -1;
    const key = (line) => (number < 0 ? null : line.cells[number].value ?? null);
    lines.sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === null || y === null) return (x === null) - (y === null);  // what has no value stands last either way
      return sign * (isNumber(x) ? x - y : x.localeCompare(y, "en", { numeric: true }));
    });
    body.append(...lines.map((line) => line.element));
  }
  sort();
  const whole = make("table", {}, make("caption", {}, make("span", {}, caption)), make("thead", {}, make("tr", {}, ...heads)), body);
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, whole);
}

const lineLook = (number) => ({ stroke: `var(--line-${number % 8})`, dash: DASHES[number % DASHES.length] });

function styled(element, number) {
  element.style.stroke = lineLook(number).stroke;
  element.style.strokeDasharray = lineLook(number).dash;
  return element;
}

// Axes for shares from 0 to 1 over `start` to `end`: the picture, and where a point of them lies in it.
function axesFigure(start, end, axis, spoken) {
  const [left, top, width, height] = [38, 8, 340, 250];
  const x = (value) => left + ((value - start) / (end - start)) * width;
  const y = (value) => top + (1 - value) * height;
  const svg = shape("svg", { viewBox: "0 0 396 300", role: "img", "aria-label": spoken });
  for (let step = 0; step <= 5; step += 1) {
    const share = step / 5;
    const value = start + share * (end - start);
    const [over, up] = [x(value), y(share)];
    svg.append(
      shape("path", { class: "grid", d: `M${left} ${up}H${left + width}M${over} ${top}V${top + height}` }),
      shape("text", { x: left - 5, y: up + 4, "text-anchor": "end" }, share.toFixed(1)),
      shape("text", { x: over, y: top + height + 15, "text-anchor": "middle" }, String(+value.toFixed(2))),
    );
  }
  svg.append(shape("text", { x: left + width / 2, y: top + height + 32, "text-anchor": "middle" }, axis));
  const path = (points) => "M" + points.map(([a, b]) => `${x(a).toFixed(2)} ${y(b).toFixed(2)}`).join("L");
  return { svg, path };
}

const curveLine = (path, number, label) =>
  styled(shape("path", { class: "line", d: path }, shape("title", {}, label)), number);

function keyEntry(number, words) {
  const sample = styled(shape("path", { class: "line", d: "M0 6H40" }), number);
  return make("li", {}, shape("svg", { viewBox: "0 0 40 12", "aria-hidden": "true" }, sample), make("span", {}, words));
}

function curveFigure(kind, curve, trackers, scores, protocol) {
  const [name, axis] = KINDS[kind];
  const end = curve.thresholds[curve.thresholds.length - 1];
  const { svg, path } = axesFigure(0, end, axis, `${name} curves by protocol ${protocol}`);
  const known = [];  // trackers without a curve are in the key too, which says so
  curve.lines.forEach((shares, number) => {
    known.push([number, shares ? scores[number][curve.score] : null]);
    if (!shares) return;
    const points = shares.map((share, place) => [curve.thresholds[place], share]);
    svg.append(curveLine(path(points), number, trackers[number].label));
  });
  known.sort((a, b) => (b[1]?.mean ?? -1) - (a[1]?.mean ?? -1));
  const key = known.map(([number, score]) => {
    const text = isNumber(score?.mean) ? percent(score.mean) : "no score";
    return keyEntry(number, `${trackers[number].label} [${text}]`);
  });
  const caption = `${name}, share of frames; [${curve.score}] in percent by protocol ${protocol}`;
  return make("figure", {}, make("figcaption", {}, caption), svg, make("ul", { class: "key" }, ...key));
}

// Frames in bins by the tracker's own score: how many of a bin are on the target.
function reliabilityFigure(trackers, confidence) {
  const of = trackers.map((tracker) => confidence[tracker.label]);
  const scores = of.flatMap((found) => found.reliability?.scores ?? []);
  const [start, end] = [Math.min(0, ...scores), Math.max(1, ...scores)];
  const { svg, path } = axesFigure(start, end, "mean score of a bin of frames", "reliability of the score");
  svg.append(shape("path", { class: "grid", d: path([[0, 0], [1, 1]]) }));
  of.forEach((found, number) => {
    if (!found.reliability) return;
    const points = found.reliability.scores.map((score, place) => [score, found.reliability.shares[place]]);
    svg.append(curveLine(path(points), number, trackers[number].label));
  });
  const key = of.map((found, number) => {
    const text = isNumber(found.auroc) ? percent(found.auroc) : "no score";
    return keyEntry(number, `${trackers[number].label} [${text}]`);
  });
  const caption = "reliability: share of frames on the target by their score; [AUROC] in percent";
  return make("figure", {}, make("figcaption", {}, caption), svg, make("ul", { class: "key" }, ...key));
}

const isFound = (found) => found && !found.missing;

function confidenceTable(comparison, order) {
  const columns = [{ name: "tracker" }, ...["AUROC", "on target", "absent", "lost_below", "lost found", "false alarms"]
    .map((name) => ({ name, number: true })), { name: "threshold between" }];
  const rows = comparison.trackers.map((tracker) => {
    const found = comparison.confidence[tracker.label];
    const known = isFound(found);
    const threshold = known ? found.for_absent ?? found.for_lost : null;
    const between = found.for_absent ? "absent frames and those on the target" : "overlap above 0.5 and the rest";
    const words = known ? (threshold ? between : "all frames are of one kind") : found.missing;
    return [
      { text: tracker.label, value: tracker.label, small: known ? `${found.frames} frames` : null },
      plainCell(known ? found.auroc : null), plainCell(known ? found.on_target / found.frames : null),
      plainCell(known ? found.absent / found.frames : null),
      { text: threshold ? threshold.value.toPrecision(3) : "–", value: threshold?.value ?? null, number: true },
      plainCell(threshold?.found), plainCell(threshold?.false_alarms),
      { text: words, value: words, wide: true, small: found.left_out || null },
    ];
  });
  return table("confidence: percent of frames; lost_below is a score", columns, rows, order);
}

const boxShape = (kind, box) => shape("rect", { class: kind, x: box[0], y: box[1], width: box[2], height: box[3] });

function pictureFigure(picture, words) {
  if (picture.missing) return make("div", { class: "none" }, "no picture: " + picture.missing);
  const [width, height] = picture.size;
  const boxes = ["truth", "predicted"].filter((kind) => picture[kind]).map((kind) => boxShape(kind, picture[kind]));
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words },
    shape("image", { href: picture.jpeg, width, height, preserveAspectRatio: "none" }), ...boxes);
  return make("figure", {}, svg, make("figcaption", {}, words));
}

function card(comparison, tracker, name, score, scoreName, protocol) {
  const worst = comparison.pictures.worst[tracker][name];
  const first = comparison.pictures.first[name];
  const title = make("p", {}, make("strong", {}, name), ` ${scoreName} ${percent(score)} (${protocol})`);
  if (!first && !worst) return make("div", { class: "card" }, title, make("div", { class: "none" }, "no picture kept"));
  const overlap = isNumber(worst?.overlap) ? `, overlap ${worst.overlap.toFixed(2)}` : "";
  const answer = worst && !worst.missing && !worst.predicted ? ", no box predicted" : "";
  return make("div", { class: "card" }, title,
    first ? pictureFigure(first, `frame 1 of ${first.frames}, ground truth`) : null,
    worst ? pictureFigure(worst, `worst frame: ${worst.frame} of ${worst.frames}${overlap}${answer}`) : null);
}

function settings(manifest) {
  if (!manifest) return "not known";
  const changed = Object.entries(manifest.overrides ?? {}).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return changed.length ? changed.join(", ") : "as configured";
}
const settingsOf = (tracker) => [...new Set(tracker.runs.map((run) => settings(run.manifest)))].join(" | ");

function framesPerSecond(tracker) {
  const known = tracker.runs.map((run) => run.seconds).filter((seconds) => isNumber(seconds) && seconds > 0);
  return known.length ? known.length / known.reduce((sum, seconds) => sum + seconds, 0) : null;
}

function scoreTable(comparison, view, protocol, order) {
  const best = Object.fromEntries(view.names.map((name) =>
    [name, Math.max(...view.scores.map((row) => row[name]?.mean).filter(isNumber))]));
  const columns = [{ name: "tracker" }, { name: "protocol" }, ...view.names.map((name) => ({ name, number: true })),
    { name: "sequences scored", number: true, label: true }, { name: "frames/s", number: true }, { name: "settings" }];
  const rows = comparison.trackers.map((tracker, number) => {
    const refused = Object.keys(view.errors[number]).length;
    const scored = comparison.sequences.length - refused;
    const speed = framesPerSecond(tracker);
    const runs = tracker.runs.length > 1 ? `${tracker.runs.length} runs` : null;
    const hint = refused ? "errors below" : null;
    return [
      { text: tracker.label, value: tracker.label, small: runs },
      { text: protocol, value: protocol },
      ...view.names.map((name) => scoreCell(view.scores[number][name], best[name])),
      { text: `${scored}/${comparison.sequences.length}`, value: scored, number: true, small: hint },
      { text: speed === null ? "–" : speed.toFixed(1), value: speed, number: true },
      { text: settingsOf(tracker), value: settingsOf(tracker), wide: true },
    ];
  });
  const all = view.scores.flatMap((row) => Object.values(row));
  const deviation = all.some((score) => isNumber(score.deviation)) ? "; mean ± sample deviation over runs" : "";
  const level = Math.round(100 * comparison.level);
  const interval = all.some((score) => isNumber(score.low)) ? `; [bootstrap ${level} % interval over sequences]` : "";
  return table(`scores in percent by protocol ${protocol}${deviation}${interval}`, columns, rows, order);
}

// Rows are sequences or attributes; with two trackers the difference is a column, with more the widest one.
function rowTable(what, comparison, names, details, values, scoreName, protocol, order) {
  const labels = comparison.trackers.map((tracker) => tracker.label);
  const gap = labels.length < 2 ? null : labels.length === 2 ? "first − second" : "widest gap";
  const columns = [{ name: what }, ...labels.map((name) => ({ name, number: true, label: true }))];
  if (gap) columns.push({ name: gap, number: true });
  const rows = names.map((name, row) => {
    const cells = values.map((of) => of[row]);
    const known = cells.filter(isNumber);
    const whole = known.length === cells.length;
    const difference = cells.length === 2 ? cells[0] - cells[1] : Math.max(...known) - Math.min(...known);
    return [{ text: name, value: name, small: details?.[row] }, ...cells.map(plainCell),
      ...(gap ? [plainCell(whole ? difference : null)] : [])];
  });
  return table(`${scoreName} in percent by protocol ${protocol}, by ${what}`, columns, rows, order);
}

function listed(title, entries) {
  if (!entries.length) return null;
  const items = entries.map(([name, text]) => make("li", {}, make("strong", {}, name), ": " + text));
  return make("details", {}, make("summary", {}, `${title} (${entries.length})`), make("ul", {}, ...items));
}

function troubles(comparison, view, protocol) {
  const parts = comparison.trackers.flatMap((tracker, number) => [
    listed(`${tracker.label}: not scored by protocol ${protocol}`, Object.entries(view.errors[number])),
    listed(`${tracker.label}: changed by the rule of protocol ${protocol}`, Object.entries(view.notes[number])),
  ]).filter((part) => part);
  return parts.length ? [make("h3", {}, "Errors and notes"), ...parts] : [];
}

function sequenceCards(comparison, view, protocol) {
  const group = (tracker, number, key, word) => {
    const names = view.extremes[number][key];
    if (!names.length) return null;
    const of = view.sequences[view.headline][number];
    const cards = names.map((name) =>
      card(comparison, number, name, of[comparison.sequences.indexOf(name)], view.headline, protocol));
    return make("div", {}, make("h4", {}, `${word} of ${tracker.label}`), make("div", { class: "cards" }, ...cards));
  };
  const parts = comparison.trackers.flatMap((tracker, number) =>
    [group(tracker, number, "worst", "Worst"), group(tracker, number, "best", "Best")]).filter((part) => part);
  if (!parts.length) return [];
  const legend = make("p", { class: "faint" }, make("span", { class: "swatch" }), " ground truth ",
    make("span", { class: "swatch dashed" }), " predicted");
  return [make("h3", {}, "Worst and best sequences"), legend, ...parts];
}

function runDetails(comparison) {
  const parts = comparison.trackers.map((tracker) => make("details", {}, make("summary", {}, tracker.label),
    ...tracker.runs.map((run) => make("div", {},
      make("p", {}, "results ", make("code", {}, run.source), ` (${run.producer})`),
      run.manifest ? make("pre", { tabindex: "0" }, JSON.stringify(run.manifest, null, 1))
        : make("p", { class: "faint" }, "no manifest: how these results were made is not known")))));
  return [make("h3", {}, "Settings"), ...parts];
}

function benchmark(comparison, place) {
  const content = make("div");
  const orders = { scores: { ascending: false }, sequences: { column: "sequence", ascending: true }, attributes: {},
    confidence: {} };
  const protocolSelect = make("select", { id: `protocol-${place}`, onchange: () => draw() },
    ...comparison.protocols.map((name) => make("option", { value: name }, name)));
  const scoreSelect = make("select", { id: `score-${place}`, onchange: () => draw() });

  function draw() {
    const protocol = protocolSelect.value;
    const view = comparison.by_protocol[protocol];
    const wanted = view.names.includes(scoreSelect.value) ? scoreSelect.value : view.headline;
    scoreSelect.replaceChildren(...view.names.map((name) => make("option", { value: name }, name)));
    scoreSelect.value = wanted ?? "";
    if (!view.names.includes(orders.scores.column)) orders.scores = { column: view.headline, ascending: false };
    const parts = [make("h3", {}, "Scores"), scoreTable(comparison, view, protocol, orders.scores)];
    const curves = Object.entries(view.curves);
    if (curves.length) {
      parts.push(make("h3", {}, "Curves"), make("div", { class: "curves" }, ...curves.map(([kind, curve]) =>
        curveFigure(kind, curve, comparison.trackers, view.scores, protocol))));
    }
    const confident = Object.values(comparison.confidence);
    if (confident.length) {
      parts.push(make("h3", {}, "Confidence"), confidenceTable(comparison, orders.confidence));
      if (confident.some(isFound)) {
        parts.push(make("div", { class: "curves" }, reliabilityFigure(comparison.trackers, comparison.confidence)));
      }
    }
    if (wanted && comparison.attributes.length) {
      const details = comparison.attributes.map((entry) => `${entry.words}, ${entry.count} sequences`);
      const names = comparison.attributes.map((entry) => entry.name);
      parts.push(make("h3", {}, "Attributes"), rowTable("attribute", comparison, names, details,
        view.attributes[wanted], wanted, protocol, orders.attributes));
    }
    if (wanted) {
      parts.push(make("h3", {}, "Sequences"), rowTable("sequence", comparison, comparison.sequences, null,
        view.sequences[wanted], wanted, protocol, orders.sequences));
    }
    parts.push(...sequenceCards(comparison, view, protocol), ...troubles(comparison, view, protocol));
    content.replaceChildren(...parts, ...runDetails(comparison));
  }
  draw();
  const bar = make("div", { class: "bar" }, make("h2", {}, comparison.title),
    make("label", {}, "protocol ", protocolSelect), make("label", {}, "score by sequence ", scoreSelect),
    make("span", { class: "faint" }, `${comparison.sequences.length} sequences`));
  const properties = { class: "benchmark", id: `benchmark-${place}`, "aria-label": comparison.title };
  return make("section", properties, bar, content);
}

window.addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
const warnings = pageData.flatMap((comparison) =>
  comparison.warnings.map((text) => make("p", { class: "warning", role: "note" }, `${comparison.benchmark}: ${text}`)));
const links = pageData.map((comparison, place) => make("a", { href: `#benchmark-${place}` }, comparison.title));
document.getElementById("page").append(...warnings, ...(links.length > 1 ? [make("nav", {}, ...links)] : []),
  ...pageData.map(benchmark));
