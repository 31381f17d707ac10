"use strict";
/* What the user does to the slice browser: buttons, sliders, keys, wheel, drag, pinch and swipe. */
function step(by) {
  if (!state.shown.length) return;
  const at = Math.min(Math.max(state.at + by, 0), state.shown.length - 1);
  if (at !== state.at) show(at);
}
function setThreshold(value, keepPoint = false) {
  state.thr = Math.min(Math.max(value, 0), 1);
  $("thr").value = state.thr;
  if (!keepPoint) $("point").value = "";
  refresh();
}
function setFilter(name) { state.filter = name; refresh(); }
function zoomBy(factor) { state.zoom = Math.min(Math.max(state.zoom * factor, 1), 12); draw(); }
function focusLesions() {
  if (state.at < 0) return;
  if (state.zoom > 1) { state.zoom = 1; draw(); return; }
  const item = DATA.slices[state.shown[state.at]], boxes = [...item.lesions, ...visible(item)].map((f) => f.b);
  if (!boxes.length) return;
  const left = Math.min(...boxes.map((b) => b[0])), right = Math.max(...boxes.map((b) => b[0] + b[2]));
  const top = Math.min(...boxes.map((b) => b[1])), bottom = Math.max(...boxes.map((b) => b[1] + b[3]));
  state.cx = (left + right) / 2; state.cy = (top + bottom) / 2 * item.ratio;
  const pad = 1.8;
  state.zoom = Math.min(Math.max(Math.min(item.w / (pad * (right - left)), item.h / (pad * (bottom - top))), 1.01), 6);
  draw();
}
function toggle(id, key) {
  state[key] = !state[key];
  $(id).setAttribute("aria-pressed", String(state[key]));
  draw();
}
function fillPoints() {
  const points = DATA.points[state.rule] || [];
  $("point").replaceChildren(new Option("set by hand", ""), ...points.filter((p) => p.score !== null).map((p) => new Option(`${p.fp} FP per slice`, p.score)));
}

const keys = {
  ArrowLeft: () => step(-1), ArrowRight: () => step(1), j: () => step(1), k: () => step(-1),
  Home: () => show(state.shown.length ? 0 : -1), End: () => show(state.shown.length - 1),
  0: () => setFilter("all"), 1: () => setFilter("tp"), 2: () => setFilter("fp"), 3: () => setFilter("fn"),
  "[": () => setThreshold(state.thr - 0.05), "]": () => setThreshold(state.thr + 0.05),
  "+": () => zoomBy(1.4), "=": () => zoomBy(1.4), "-": () => zoomBy(1 / 1.4), f: focusLesions,
  g: () => toggle("show-gt", "gt"), p: () => toggle("show-pred", "pred"),
};

function stagePointers() {
  const stage = $("stage"), held = new Map();
  let start = null, spread = 0;
  const perPixel = () => { const box = $("svg").viewBox.baseVal; return 1 / Math.min(stage.clientWidth / box.width, stage.clientHeight / box.height); };
  const distance = () => { const [a, b] = [...held.values()]; return Math.hypot(a.x - b.x, a.y - b.y); };
  stage.addEventListener("pointerdown", (e) => {
    held.set(e.pointerId, { x: e.clientX, y: e.clientY });
    if (held.size === 1) start = { x: e.clientX, y: e.clientY, zoomed: state.zoom > 1 };
    if (held.size === 2) { spread = distance(); start = null; }
    if (state.zoom > 1) stage.setPointerCapture(e.pointerId);
  });
  stage.addEventListener("pointermove", (e) => {
    const last = held.get(e.pointerId);
    if (!last || state.at < 0) return;
    held.set(e.pointerId, { x: e.clientX, y: e.clientY });
    if (held.size === 2) { const now = distance(); if (spread > 0) zoomBy(now / spread); spread = now; }
    else if (state.zoom > 1) { const unit = perPixel(); state.cx -= (e.clientX - last.x) * unit; state.cy -= (e.clientY - last.y) * unit; draw(); }
  });
  const release = (e) => {
    const swipe = start && !start.zoomed && e.type === "pointerup" && e.pointerType !== "mouse" ? e.clientX - start.x : 0;
    if (Math.abs(swipe) > 50 && Math.abs(swipe) > 2 * Math.abs(e.clientY - start.y)) step(swipe < 0 ? 1 : -1);
    held.delete(e.pointerId); start = null;
  };
  stage.addEventListener("pointerup", release);
  stage.addEventListener("pointercancel", release);
  stage.addEventListener("wheel", (e) => { if (e.ctrlKey || e.metaKey || document.activeElement === stage) { e.preventDefault(); zoomBy(e.deltaY < 0 ? 1.15 : 1 / 1.15); } }, { passive: false });
}

function start() {
  if (!DATA.slices.length) return;
  $("rule").replaceChildren(...DATA.rules.map((rule) => new Option(rule.words, rule.id)));
  state.rule = DATA.rules[0].id;
  fillPoints();
  $("rule").addEventListener("change", (e) => { state.rule = e.target.value; fillPoints(); refresh(); });
  $("point").addEventListener("change", (e) => { if (e.target.value !== "") setThreshold(Number(e.target.value), true); });
  $("thr").addEventListener("input", (e) => setThreshold(Number(e.target.value)));
  document.querySelectorAll("[data-filter]").forEach((b) => b.addEventListener("click", () => setFilter(b.dataset.filter)));
  $("prev").addEventListener("click", () => step(-1)); $("next").addEventListener("click", () => step(1));
  $("zoom-in").addEventListener("click", () => zoomBy(1.4)); $("zoom-out").addEventListener("click", () => zoomBy(1 / 1.4));
  $("fit").addEventListener("click", () => { state.zoom = 1; draw(); }); $("focus").addEventListener("click", focusLesions);
  $("show-gt").addEventListener("click", () => toggle("show-gt", "gt"));
  $("show-pred").addEventListener("click", () => toggle("show-pred", "pred"));
  for (const id of ["bright", "contrast"]) $(id).addEventListener("input", draw);
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) return;
    const action = keys[e.key.length === 1 ? e.key.toLowerCase() : e.key];
    if (action) { e.preventDefault(); action(); }
  });
  window.addEventListener("resize", draw);
  stagePointers();
  state.thr = DATA.start;
  $("thr").value = state.thr;
  const at = [...$("point").options].find((o) => o.value !== "" && Number(o.value) === state.thr);
  if (at) $("point").value = at.value;
  refresh();
}
start();
