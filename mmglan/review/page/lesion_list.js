"use strict";
/* The list of lesions and regions, and the fields of the chosen one. */
const STATUS_WORDS = { open: "not judged yet", accepted: "lesion", rejected: "not a lesion", unsure: "unsure" };
const SIGNS = { open: "○", accepted: "✓", rejected: "✕", unsure: "?" };

const shortName = (mark) => (mark.finding === null ? mark.id.toUpperCase() : String(mark.finding));
function nameOf(mark) {
  if (mark.source === null) return `Drawn lesion ${mark.id.slice(1)}`;
  return mark.finding === null ? `Bookmark ${mark.source + 1}` : `Finding ${mark.finding}`;
}

function sizeOf(mark) {
  const points = ordered(mark.points);
  return `${longLength(points).toFixed(1)} × ${shortLength(points).toFixed(1)} mm`;
}

function factsOf(mark) {
  const finding = findingOf(mark), facts = [sizeOf(mark), `slice ${mark.slice + 1}`];
  if (finding && finding.score !== null) facts.unshift(`score ${finding.score.toFixed(2)}`);
  if (finding && finding.volume_ml !== null) facts.push(`${finding.volume_ml.toFixed(2)} ml`);
  if (finding && !finding.measured && !mark.edited) facts.push("axes of the box");
  return facts.join(" · ");
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function listButton(id, sign, kind, title, facts) {
  const button = element("button", { type: "button", className: kind },
    element("span", { className: "sign", ariaHidden: "true" }, sign),
    element("span", {}, title, element("small", {}, facts)));
  button.dataset.id = id;
  if (id === selection.id) button.setAttribute("aria-current", "true");
  button.addEventListener("click", () => { select(id); jump(); });
  return element("li", {}, button);
}

function showList() {
  const focused = document.activeElement && document.activeElement.dataset.id;
  const rows = edits.now.marks.map((mark) => listButton(mark.id, SIGNS[mark.status], mark.status,
    `${nameOf(mark)}: ${STATUS_WORDS[mark.status]}${mark.edited && mark.source !== null ? ", corrected" : ""}`, factsOf(mark)));
  rows.push(...edits.now.regions.map((region) => listButton(region.id, "▨", "region",
    `Region ${region.id.slice(1)}: not to be judged`, `⌀ ${(2 * length(region.centre, region.rim)).toFixed(1)} mm · slice ${region.slice + 1}`)));
  $("list").replaceChildren(...rows);
  if (focused) $("list").querySelector(`[data-id="${focused}"]`)?.focus();
  const list = $("list"), chosen = list.querySelector("[aria-current]");
  if (chosen) {  // bring it into the list's own view, without moving the page
    const { offsetTop, offsetHeight } = chosen.parentElement, top = offsetTop - list.offsetTop;
    list.scrollTop = clamp(list.scrollTop, top + offsetHeight - list.clientHeight, top);
  }
  $("none").hidden = rows.length > 0;
  const open = edits.now.marks.filter((m) => m.status === "open").length;
  $("count").textContent = open ? `${open} not judged yet` : rows.length ? "all judged" : "";
}

function showTicks() {
  const ticks = edits.now.marks.map((mark) => {
    const tick = element("i", { className: mark.status });
    tick.style.left = `${DEPTH > 1 ? 100 * mark.slice / (DEPTH - 1) : 50}%`;
    return tick;
  });
  $("ticks").replaceChildren(...ticks);
}

function showDetails() {
  const mark = selectedMark(), region = selectedRegion();
  $("details").hidden = !mark && !region;
  $("of-mark").hidden = !mark; $("of-region").hidden = !region;
  $("delete").hidden = !(region || mark && mark.source === null);
  if (mark) {
    $("chosen").textContent = nameOf(mark);
    $("facts").textContent = factsOf(mark);
    for (const button of document.querySelectorAll("[data-judge]")) button.setAttribute("aria-pressed", String(button.dataset.judge === mark.status));
    $("reason-field").hidden = mark.status !== "rejected";
    $("reason").value = mark.reason; $("site").value = mark.site; $("comment").value = mark.comment;
  }
  if (region) {
    $("chosen").textContent = `Region ${region.id.slice(1)}`;
    $("facts").textContent = "Neither lesion nor background in training and metrics.";
    $("reach").value = region.reach;
  }
}

function showState() {
  $("undo").disabled = !edits.undo.length; $("redo").disabled = !edits.redo.length;
  $("complete").checked = edits.now.complete;
  $("reader").value = edits.now.reader; $("date").value = edits.now.date;
  const words = [];
  if (edits.restored) words.push("Changes of an earlier visit are here again.");
  if (!edits.exported) words.push(edits.stored ? "Changes are kept in this browser only: export them." : "This browser keeps no changes: export them before you close the page.");
  $("unsaved").textContent = words.join(" ");
  $("unsaved-box").hidden = !words.length;
}

function refresh() { showList(); showTicks(); showDetails(); showState(); draw(); }

function select(id) {
  selection.id = id;
  selection.end = null;
  refresh();
}

/* Show the chosen lesion in all views. */
function jump() {
  const mark = selectedMark(), region = selectedRegion();
  if (!mark && !region) return;
  const [x, y] = mark ? centreOf(mark.points) : region.centre;
  if (views.axial.zoom > 1) views.axial.centre = [x, y];
  moveCursor({ x, y, z: (mark || region).slice });
}

function step(by) {
  const ids = [...edits.now.marks, ...edits.now.regions].map((one) => one.id), at = ids.indexOf(selection.id);
  if (!ids.length) return;
  select(ids[at < 0 ? (by > 0 ? 0 : ids.length - 1) : (at + by + ids.length) % ids.length]);
  jump();
  if (selectedMark()) say(`${nameOf(selectedMark())}, ${factsOf(selectedMark())}`);
}

function say(text) { $("live").textContent = text; }
