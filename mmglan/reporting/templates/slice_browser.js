"use strict";
/* Slice browser. Data: the JSON in #data; images: base64 text in #img-<number>, read when shown. */
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const state = { rule: null, thr: 0.5, filter: "all", shown: [], at: -1, zoom: 1, cx: 0, cy: 0, gt: true, pred: true, on: null };
const listeners = [];  // called with (threshold, rule) on each change; the FROC plot listens

/* Number of values >= threshold in an array sorted falling. */
function countFrom(values, threshold) {
  let low = 0, high = values.length;
  while (low < high) { const mid = (low + high) >> 1; if (values[mid] >= threshold) low = mid + 1; else high = mid; }
  return low;
}
/* Lesions found and false positives; of very many scores only every n-th is in the page. */
function totalsFrom(all, threshold) { return [countFrom(all.found, threshold) * all.steps[0], countFrom(all.fp, threshold) * all.steps[1]]; }
function statusOf(pred) { return pred.t[state.rule]; }
function found(lesion) { const s = lesion.f[state.rule]; return s !== null && s >= state.thr; }
function visible(item) { return item.detections.filter((p) => p.s >= state.thr); }
function tally(item) {
  const tp = item.lesions.filter(found).length;
  return { tp, fn: item.lesions.length - tp, fp: visible(item).filter((p) => statusOf(p) === "fp").length };
}
function image(item) { return `data:${item.type};base64,${$("img-" + item.n).textContent}`; }
function percent(part, whole) { return whole ? (100 * part / whole).toFixed(1) + " %" : "–"; }
function node(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  if (text !== undefined) element.textContent = text;
  return element;
}
function cell(text, name = "td") { const c = document.createElement(name); c.textContent = text; return c; }

const lazy = "IntersectionObserver" in window ? new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) { entry.target.src = entry.target.dataset.src; lazy.unobserve(entry.target); }
}, { rootMargin: "200px" }) : null;

const rows = DATA.slices.map((item, index) => {
  const li = document.createElement("li"), button = document.createElement("button");
  const thumb = document.createElement("img"), words = document.createElement("span"), marks = document.createElement("span");
  button.type = "button"; thumb.alt = ""; thumb.dataset.src = item.thumb; marks.className = "marks";
  if (lazy) lazy.observe(thumb); else thumb.src = item.thumb;
  const small = document.createElement("small"); small.textContent = item.label;
  words.append("No. " + item.n, small, marks);
  button.append(thumb, words); li.append(button);
  button.addEventListener("click", () => { show(state.shown.indexOf(index)); });
  $("list").append(li);
  return { li, button, marks };
});

function refresh() {
  const current = state.at >= 0 ? state.shown[state.at] : 0;
  const counts = { all: 0, tp: 0, fp: 0, fn: 0 };
  state.shown = [];
  DATA.slices.forEach((item, index) => {
    const t = tally(item);
    counts.all += 1; for (const key of ["tp", "fp", "fn"]) if (t[key]) counts[key] += 1;
    const inside = state.filter === "all" || t[state.filter] > 0;
    rows[index].li.hidden = !inside;
    rows[index].marks.textContent = [t.tp && t.tp + " TP", t.fp && t.fp + " FP", t.fn && t.fn + " FN"].filter(Boolean).join(" · ");
    if (inside) state.shown.push(index);
  });
  document.querySelectorAll("[data-filter]").forEach((b) => {
    b.querySelector("b").textContent = counts[b.dataset.filter];
    b.setAttribute("aria-pressed", String(b.dataset.filter === state.filter));
  });
  const all = DATA.totals[state.rule], [tp, fp] = totalsFrom(all, state.thr), about = Math.max(...all.steps) > 1 ? "about " : "";
  $("thr-value").textContent = state.thr.toFixed(3);
  $("live").textContent = `All ${DATA.n_images} slices at score ≥ ${state.thr.toFixed(3)}: ${about}${tp} of ${DATA.n_lesions} lesions found (${percent(tp, DATA.n_lesions)}), ` +
    `${DATA.n_lesions - tp} missed, ${fp} false positives (${(fp / Math.max(1, DATA.n_images)).toFixed(2)} per slice).`;
  for (const listener of listeners) listener(state.thr, state.rule);
  const keep = state.shown.indexOf(current);
  show(keep >= 0 ? keep : (state.shown.length ? 0 : -1), keep >= 0 && state.at >= 0);
}

function show(at, sameSlice = false) {
  if (!sameSlice) { state.zoom = 1; state.on = null; }
  const before = state.at >= 0 ? state.shown[state.at] : undefined;
  state.at = at;
  rows.forEach((r) => r.button.removeAttribute("aria-current"));
  $("empty").hidden = at >= 0;
  $("prev").disabled = at <= 0;
  $("next").disabled = at < 0 || at >= state.shown.length - 1;
  if (at < 0) { $("svg").replaceChildren(); $("caption").textContent = "–"; $("on-slice").replaceChildren(); return; }
  const index = state.shown[at], row = rows[index].button, box = $("list");
  row.setAttribute("aria-current", "true");
  if (before !== index || !sameSlice) {
    const top = row.offsetTop - box.clientHeight / 2 + row.offsetHeight / 2;
    box.scrollTop = Math.max(0, top);
  }
  draw(); tableOf(DATA.slices[index]);
}

function box4(b, r) { return { x: b[0], y: b[1] * r, width: b[2], height: b[3] * r }; }

/* Brightness and contrast as an SVG filter (CSS filters do not act inside SVG in every browser). */
function windowing(slice) {
  const bright = Number($("bright").value), contrast = Number($("contrast").value);
  if (bright === 1 && contrast === 1) return [];
  const filter = node("filter", { id: "window", "color-interpolation-filters": "sRGB", x: 0, y: 0, width: 1, height: 1 }), transfer = node("feComponentTransfer", {});
  for (const channel of "RGB") transfer.append(node("feFunc" + channel, { type: "linear", slope: bright * contrast, intercept: 0.5 - 0.5 * contrast }));
  filter.append(transfer);
  slice.setAttribute("filter", "url(#window)");
  return [filter];
}

function draw() {
  if (state.at < 0) return;
  const item = DATA.slices[state.shown[state.at]], r = item.ratio, w = item.w, h = item.h * r, svg = $("svg");
  if (state.zoom <= 1) { state.zoom = 1; state.cx = w / 2; state.cy = h / 2; }
  const vw = w / state.zoom, vh = h / state.zoom;
  state.cx = Math.min(Math.max(state.cx, vw / 2), w - vw / 2);
  state.cy = Math.min(Math.max(state.cy, vh / 2), h - vh / 2);
  svg.setAttribute("viewBox", `${state.cx - vw / 2} ${state.cy - vh / 2} ${vw} ${vh}`);
  $("stage").classList.toggle("zoomed", state.zoom > 1);
  const unit = 1 / Math.max(1e-6, Math.min(svg.clientWidth / vw, svg.clientHeight / vh));
  const slice = node("image", { href: image(item), x: 0, y: 0, width: w, height: h, preserveAspectRatio: "none" });
  const parts = [...windowing(slice), slice];
  const placed = [], labels = [];
  const label = (text, kind, b) => {
    const up = b.y > 18 * unit, x = Math.max(2 * unit, b.x), line = 15 * unit, width = 8.5 * unit * text.length;
    let y = up ? b.y - 4 * unit : b.y + b.height + line;
    // Labels of boxes that lie on each other are stacked.
    while (placed.some((q) => Math.abs(q.y - y) < line && q.x < x + width && x < q.x + q.width)) y += up ? -line : line;
    placed.push({ x, y, width });
    labels.push(node("text", { class: kind, x, y, "font-size": 14 * unit, "stroke-width": 3.5 * unit }, text));
  };
  const add = (b, contour, kind, title) => {
    const rectangle = node("rect", { ...b, class: "shape " + kind }); rectangle.append(node("title", {}, title)); parts.push(rectangle);
    if (contour) parts.push(node("path", { d: contour, class: "shape mask " + kind, transform: `scale(1 ${r})` }));
  };
  if (state.gt) item.lesions.forEach((t, i) => {
    const missed = !found(t), b = box4(t.b, r);
    add(b, t.c, "gt" + (missed ? " missed" : "") + (state.on === "t" + i ? " on" : ""), missed ? "Missed lesion" : "Ground truth, found");
    if (missed) label("missed", "missed", { x: b.x, y: 0, height: b.y + b.height });
  });
  if (state.pred) visible(item).forEach((p, i) => {
    const b = box4(p.b, r);
    add(b, p.c, "pred " + statusOf(p) + (state.on === "p" + i ? " on" : ""), `Score ${p.s.toFixed(3)}`);
    label(p.s.toFixed(2), "score", b);
  });
  svg.replaceChildren(...parts, ...labels);
  const t = tally(item);
  $("caption").textContent = `No. ${item.n} (${state.at + 1} of ${state.shown.length}) · ${item.label}`;
  svg.setAttribute("aria-label", `No. ${item.n}, ${item.label}: ${t.tp} lesions found, ${t.fn} missed, ${t.fp} false positives.`);
}

function tableOf(item) {
  const lines = [], names = { tp: "TP", fp: "FP", duplicate: "dup." };
  const line = (key, kind, name, score, iou, size) => {
    const tr = document.createElement("tr"), first = document.createElement("td"), tag = document.createElement("span");
    tag.className = "tag " + kind; tag.textContent = name; first.append(tag);
    tr.append(first, cell(score), cell(iou), cell(size)); tr.tabIndex = 0;
    const toggle = () => { state.on = state.on === key ? null : key; draw(); };
    tr.addEventListener("click", toggle);
    tr.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); toggle(); } });
    lines.push(tr);
  };
  item.lesions.forEach((t, i) => { if (!found(t)) line("t" + i, "fn", "FN", "–", "–", t.mm || "–"); });
  visible(item).forEach((p, i) => line("p" + i, statusOf(p), names[statusOf(p)], p.s.toFixed(3), p.o === null ? "–" : p.o.toFixed(2), p.mm || "–"));
  if (!lines.length) { const tr = document.createElement("tr"), td = cell("Nothing: no lesion, no detection above the threshold."); td.colSpan = 4; td.style.whiteSpace = "normal"; tr.append(td); lines.push(tr); }
  $("on-slice").replaceChildren(...lines);
}
