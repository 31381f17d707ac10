"use strict";
/* What the reader has decided: marks (crosses), regions not to judge, and the way back to each earlier state. */
const STORE = "mmglan-review-" + DATA.key;
const REGION_MM = 10;
const NEW_CROSS_MM = 10;

function firstState() {
  const marks = DATA.findings.map((f, i) => ({
    id: "f" + i, finding: f.score === null ? null : f.number, source: i, status: f.status, reason: "",
    slice: f.slice, points: f.points, edited: false, site: f.site, comment: "",
  }));
  return { marks, regions: [], complete: false, reader: "", date: "", next: 1 };
}

const edits = { now: firstState(), undo: [], redo: [], exported: true, restored: false, stored: true };
const selection = { id: null, end: null };  // a mark or region; one of its end points

const markOf = (id) => edits.now.marks.find((m) => m.id === id) || null;
const regionOf = (id) => edits.now.regions.find((r) => r.id === id) || null;
const selectedMark = () => markOf(selection.id);
const selectedRegion = () => regionOf(selection.id);

/* The finding that a mark came from, and its mask while its cross is the detector's. */
const findingOf = (mark) => (mark.source === null ? null : DATA.findings[mark.source]);

function remember() {
  edits.undo.push(JSON.stringify(edits.now));
  if (edits.undo.length > 500) edits.undo.shift();
  edits.redo.length = 0;
}

function keep() {
  edits.exported = false;
  try { localStorage.setItem(STORE, JSON.stringify(edits.now)); edits.stored = true; }
  catch (refused) { edits.stored = false; }
  refresh();
}

/* Change the state so that it can be undone. */
function change(edit) { remember(); edit(edits.now); keep(); }

function goTo(from, to) {
  if (!from.length) return false;
  to.push(JSON.stringify(edits.now));
  edits.now = JSON.parse(from.pop());
  if (!markOf(selection.id) && !regionOf(selection.id)) select(null);
  keep();
  return true;
}
const undo = () => goTo(edits.undo, edits.redo);
const redo = () => goTo(edits.redo, edits.undo);

function restore() {
  let text = null;
  try { text = localStorage.getItem(STORE); } catch (refused) { edits.stored = false; }
  if (!text) return;
  edits.now = JSON.parse(text);
  edits.restored = true;
  edits.exported = false;
}

function startOver() {
  change(() => { edits.now = firstState(); });
  edits.restored = false;
  select(null);
  say("All changes are taken back; undo brings them again.");
}

function judge(status, reason) {
  const mark = selectedMark();
  if (!mark) { say("Choose a lesion first."); return; }
  change(() => { mark.status = status; mark.reason = status === "rejected" ? reason ?? mark.reason : ""; });
  say(`${nameOf(mark)}: ${STATUS_WORDS[status]}.`);
}

function addMark(slice, points) {
  change((now) => {
    const id = "d" + now.next++;
    now.marks.push({ id, finding: null, source: null, status: "accepted", reason: "", slice, points, edited: true, site: "", comment: "" });
    selection.id = id;
  });
  select(selection.id);
  say(`${nameOf(selectedMark())} is drawn.`);
}

function addRegion(slice, centre, rim) {
  change((now) => {
    const id = "r" + now.next++;
    now.regions.push({ id, slice, reach: 0, centre, rim });
    selection.id = id;
  });
  select(selection.id);
  say("A region that is not to be judged is marked.");
}

function remove() {
  const mark = selectedMark(), region = selectedRegion();
  if (mark && mark.source !== null) { say("A finding is not deleted: reject it."); return; }
  if (!mark && !region) return;
  change((now) => {
    now.marks = now.marks.filter((m) => m !== mark);
    now.regions = now.regions.filter((r) => r !== region);
  });
  select(null);
  say("Deleted.");
}
