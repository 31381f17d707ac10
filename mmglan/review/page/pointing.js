"use strict";
/* Mouse, wheel and touch on the views. */
const NEAR = 14;  // pixels of the screen within which an end point is caught

function endNear(event) {
  const mark = selectedMark();
  if (!mark || mark.slice !== cursor.z || !shown.cross) return null;
  const box = views.axial.stage.getBoundingClientRect(), reach = event.pointerType === "touch" ? 2 * NEAR : NEAR;
  const away = mark.points.map((p) => {
    const [x, y] = views.axial.toScreen(p);
    return Math.hypot(x + box.left - event.clientX, y + box.top - event.clientY);
  });
  const nearest = away.indexOf(Math.min(...away));
  return away[nearest] <= reach ? nearest : null;
}

/* The mark under a click, the chosen one last, so that a second click takes the next. */
function markAt([u, v]) {
  const here = edits.now.marks.filter((m) => m.slice === cursor.z && length(centreOf(m.points), [u, v]) <= Math.max(longLength(m.points) / 2, 3 * SX));
  return here.find((m) => m.id !== selection.id) || here[0] || null;
}

/* What a press begins: an object with move(event), end(event) and, for a press without way, click(event). */
function gestureOf(view, event) {
  const start = view.at(event);
  if (event.button === 2 || event.button === 1 || tool.name === "window") return windowGesture();
  if (view.name === "axial" && (tool.name === "draw" || tool.name === "region")) return lineGesture(view, start);
  const end = view.name === "axial" ? endNear(event) : null;
  if (end !== null) return endGesture(view, end, start);
  return lookGesture(view, event);
}

function windowGesture() {
  const { level, width } = intensity, span = (DATA.range[1] - DATA.range[0]) / 400;
  return { move(event, dx, dy) { setWindow(level + dy * span, width + dx * span); showWindow(); draw(); }, end() {} };
}

function lineGesture(view, start) {
  unfinished.lines.push([start, start]);
  const follow = (event) => { unfinished.lines[unfinished.lines.length - 1] = snapped([start, view.at(event)]); draw(); };
  return { move: follow, end(event) { follow(event); finishLine(); }, cancel() { unfinished.lines.pop(); draw(); } };
}

function endGesture(view, end, start) {
  const mark = selectedMark(), from = mark.points[end];
  let moved = false;
  selection.end = end;
  draw();
  return {
    move(event) {
      if (!moved) remember();
      moved = true;
      const [u, v] = view.at(event);
      mark.points = moveEnd(mark.points, end, [from[0] + u - start[0], from[1] + v - start[1]]);
      mark.edited = true;
      draw();
    },
    end() { selection.end = null; if (moved) keep(); else draw(); },
    click() { this.end(); },
  };
}

function lookGesture(view, event) {
  const touch = event.pointerType === "touch", firstSlice = cursor.z;
  let last = [0, 0];
  return {
    move(_, dx, dy) {
      if (view.zoom > 1) view.pan(dx - last[0], dy - last[1]);
      else if (touch && view.name === "axial") moveCursor({ z: firstSlice - Math.round(dy / 8) });
      else this.click(_);
      last = [dx, dy];
    },
    end() {},
    click(at) { moveCursor(view.index(...view.at(at))); },
    select: true,
  };
}

function watch(view) {
  const held = new Map();
  let gesture = null, press = null, spread = 0, way = 0;
  const distance = () => { const [a, b] = [...held.values()]; return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY); };
  const stage = view.stage;
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("pointerdown", (event) => {
    held.set(event.pointerId, event);
    stage.setPointerCapture(event.pointerId);
    if (held.size === 2) { gesture?.cancel?.(); gesture = null; spread = distance(); return; }
    press = event; way = 0;
    gesture = gestureOf(view, event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!held.has(event.pointerId)) return;
    held.set(event.pointerId, event);
    if (held.size === 2) { const now = distance(); if (spread > 0) view.zoomBy(now / spread); spread = now; return; }
    if (!gesture) return;
    const dx = event.clientX - press.clientX, dy = event.clientY - press.clientY;
    way = Math.max(way, Math.hypot(dx, dy));
    if (way > 3) gesture.move(event, dx, dy);
  });
  const release = (event) => {
    held.delete(event.pointerId);
    if (!gesture || held.size) return;
    const done = gesture;
    gesture = null;
    if (event.type === "pointercancel") { done.cancel?.(); return; }
    if (way <= 3 && done.click) {
      done.click(event);
      const mark = done.select && view.name === "axial" ? markAt(view.at(event)) : null;
      if (mark) select(mark.id);
    } else done.end(event);
  };
  stage.addEventListener("pointerup", release);
  stage.addEventListener("pointercancel", release);
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) { view.zoomBy(event.deltaY < 0 ? 1.15 : 1 / 1.15, view.at(event)); return; }
    const by = Math.sign(event.deltaY);
    moveCursor({ [view.depth]: cursor[view.depth] + (view.depth === "z" ? -by : by) });
  }, { passive: false });
}
