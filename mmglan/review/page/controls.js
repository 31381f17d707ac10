"use strict";
/* Buttons, fields and keys; where the page starts. */
function showPlace() {
  $("slice").value = cursor.z;
  $("slice").setAttribute("aria-valuetext", `slice ${cursor.z + 1} of ${DEPTH}`);
  const value = valueAt(cursor.x, cursor.y, cursor.z);
  $("place").textContent = `Slice ${cursor.z + 1} of ${DEPTH} · x ${cursor.x}, y ${cursor.y}${value === null ? "" : ` · value ${Number(value.toPrecision(3))}`}`;
}

function showWindow() {
  const [low, high] = DATA.range;
  $("level").value = 1000 * (intensity.level - low) / (high - low);
  $("width").value = 1000 * intensity.width / (high - low);
  $("window-text").textContent = `level ${Number(intensity.level.toPrecision(3))}, width ${Number(intensity.width.toPrecision(3))}`;
}

function toggle(name) {
  shown[name] = !shown[name];
  document.querySelector(`[data-show="${name}"]`).setAttribute("aria-pressed", String(shown[name]));
  draw();
}

function fit() { for (const view of Object.values(views)) view.zoom = 1; draw(); }

function zoomIn(factor) {
  const mark = selectedMark(), here = mark && mark.slice === cursor.z;
  if (views.axial.zoom === 1) views.axial.centre = here ? centreOf(mark.points) : [cursor.x, cursor.y];
  views.axial.zoomBy(factor);
}

const NUDGE = 0.25;
const arrow = (dx, dy, slice) => (event) => {
  if (event.shiftKey) moveCursor({ x: cursor.x + dx, y: cursor.y + dy });
  else if (!nudge(NUDGE * dx, NUDGE * dy) && slice) moveCursor({ z: cursor.z + slice });
};
const KEYS = {
  ArrowUp: arrow(0, -1, 1), ArrowDown: arrow(0, 1, -1), ArrowLeft: arrow(-1, 0, 0), ArrowRight: arrow(1, 0, 0),
  PageUp: () => moveCursor({ z: cursor.z + 5 }), PageDown: () => moveCursor({ z: cursor.z - 5 }),
  Home: () => moveCursor({ z: DEPTH - 1 }), End: () => moveCursor({ z: 0 }),
  n: () => step(1), p: () => step(-1), j: jump,
  a: () => judge("accepted"), r: () => { judge("rejected"); if (selectedMark()) $("reason").focus(); }, u: () => judge("unsure"),
  d: () => setTool("draw"), c: crossAtCursor, g: () => setTool("region"), h: regionAtCursor, w: () => setTool("window"),
  e: nextEnd, Delete: remove, Backspace: remove,
  Escape: () => { selection.end = null; setTool("look"); },
  m: () => toggle("mask"), b: () => toggle("box"), x: () => toggle("cross"), l: () => toggle("hair"),
  "+": () => zoomIn(1.4), "=": () => zoomIn(1.4), "-": () => zoomIn(1 / 1.4), 0: fit,
  "?": () => { $("keys").open = !$("keys").open; },
};

function onKey(event) {
  const letter = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if ((event.ctrlKey || event.metaKey) && !typing && (letter === "z" || letter === "y")) {
    event.preventDefault();
    const done = letter === "y" || event.shiftKey ? redo() : undo();
    say(done ? "Done." : "There is nothing to undo or do again.");
    return;
  }
  if (typing && letter === "Escape") { event.target.blur(); views.axial.stage.focus(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
  const action = KEYS[letter];
  if (action) { event.preventDefault(); action(event); }
}

/* A field of the chosen mark, of the region or of the review; each is one step to undo. */
function bindField(id, owner, name, read = (field) => field.value) {
  $(id).addEventListener("change", (event) => {
    const target = owner();
    if (target) change(() => { target[name] = read(event.target); });
  });
}

function bind() {
  const onClick = (selector, act) => document.querySelectorAll(selector).forEach((b) => b.addEventListener("click", () => act(b)));
  onClick("[data-tool]", (b) => setTool(b.dataset.tool));
  onClick("[data-show]", (b) => toggle(b.dataset.show));
  onClick("[data-judge]", (b) => judge(b.dataset.judge));
  onClick("[data-save]", (b) => SAVERS[b.dataset.save]());
  const buttons = { undo, redo, "zoom-in": () => zoomIn(1.4), "zoom-out": () => zoomIn(1 / 1.4), fit, delete: remove, next: () => step(1), previous: () => step(-1), "start-over": startOver };
  for (const [id, act] of Object.entries(buttons)) $(id).addEventListener("click", act);
  bindField("reason", selectedMark, "reason");
  bindField("site", selectedMark, "site");
  bindField("comment", selectedMark, "comment");
  bindField("reach", selectedRegion, "reach", (field) => clamp(Math.round(Number(field.value)) || 0, 0, DEPTH));
  bindField("reader", () => edits.now, "reader");
  bindField("date", () => edits.now, "date");
  bindField("complete", () => edits.now, "complete", (field) => field.checked);
  $("slice").addEventListener("input", (event) => moveCursor({ z: Number(event.target.value) }));
  $("smooth").addEventListener("change", draw);
  const [low, high] = DATA.range, share = (id) => Number($(id).value) / 1000 * (high - low);
  for (const id of ["level", "width"]) $(id).addEventListener("input", () => { setWindow(low + share("level"), share("width")); showWindow(); draw(); });
  document.addEventListener("keydown", onKey);
  new ResizeObserver(draw).observe(views.axial.stage);
  window.addEventListener("beforeunload", (event) => { if (!edits.exported) event.preventDefault(); });
}

async function start() {
  for (const name of Object.keys(PLANES)) { views[name] = new View(name); watch(views[name]); }
  $("slice").max = DEPTH - 1;
  setWindow(intensity.level, intensity.width);
  bind();
  restore();
  const first = edits.now.marks[0];
  select(first ? first.id : null);
  jump();
  showWindow();
  setTool("look");
  if (typeof DecompressionStream === "undefined") { say("This browser is too old to show the slices: use one of 2023 or later."); return; }
  await unpackAll(cursor.z, draw);
  document.documentElement.dataset.ready = "yes";
}
start();
