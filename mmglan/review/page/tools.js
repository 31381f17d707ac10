"use strict";
/* What a drag on the axial view does: look, window, draw a cross, mark a region. */
const tool = { name: "look" };
const unfinished = { lines: [] };  // lines of a cross or region that is being drawn
const TOOL_WORDS = {
  look: "Drag an end point of the chosen cross, or the picture when it is zoomed; a click moves the crosshair.",
  window: "Drag: left and right change the window's width, up and down its level.",
  draw: "Draw the long axis, then a line across it: it snaps to the perpendicular.",
  region: "Draw from the middle of the region that is not to be judged to its rim.",
};

function setTool(name) {
  tool.name = name;
  unfinished.lines = [];
  for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  views.axial.stage.dataset.tool = name;
  say(TOOL_WORDS[name]);
  draw();
}

/* A line of the tool is complete. */
function finishLine() {
  const line = unfinished.lines.at(-1);
  if (length(...line) < Math.min(SX, SY) / 2) {
    unfinished.lines.pop();
    draw();
    return;
  }
  if (tool.name === "region") {
    addRegion(cursor.z, ...line);
    setTool("look");
  } else if (unfinished.lines.length === 1) {
    say("Now draw the short axis across the line.");
    draw();
  } else {
    const points = crossFromLines(...unfinished.lines[0], ...line);
    if (points) {
      addMark(cursor.z, ordered(points));
      setTool("look");
    } else {
      unfinished.lines.pop();
      say("The second line has to cross the first: draw it again.");
      draw();
    }
  }
}

/* Of the second line, what it snaps to while it is drawn. */
function snapped(line) {
  if (tool.name !== "draw" || unfinished.lines.length < 2) return line;
  const points = crossFromLines(...unfinished.lines[0], ...line);
  return points ? [points[2], points[3]] : line;
}

/* By keyboard: a small cross, or region, at the crosshair, to be moved from there. */
function crossAtCursor() {
  const { x, y, z } = cursor, u = NEW_CROSS_MM / 2 / SX, v = NEW_CROSS_MM / 2 / SY;
  addMark(z, [[x - u, y], [x + u, y], [x, y - 0.8 * v], [x, y + 0.8 * v]]);
}
function regionAtCursor() {
  const { x, y, z } = cursor;
  addRegion(z, [x, y], [x + REGION_MM / 2 / SX, y]);
}

/* Move what is chosen by a part of a pixel; returns whether there was anything to move. */
function nudge(dx, dy) {
  const mark = selectedMark(), region = selectedRegion(), move = (p) => [p[0] + dx, p[1] + dy];
  if (mark && selection.end !== null) {
    change(() => { mark.points = moveEnd(mark.points, selection.end, move(mark.points[selection.end])); mark.edited = true; });
    return true;
  }
  if (region && selection.end !== null) {
    change(() => { if (selection.end) region.rim = move(region.rim); else { region.centre = move(region.centre); region.rim = move(region.rim); } });
    return true;
  }
  return false;
}

/* Choose the next end point for the arrow keys, after the last none. */
function nextEnd() {
  const count = selectedMark() ? 4 : selectedRegion() ? 2 : 0;
  if (!count) { say("Choose a lesion first."); return; }
  const next = selection.end === null ? 0 : selection.end + 1;
  selection.end = next === count ? null : next;
  if (selection.end !== null) jump();
  say(selection.end === null ? "Arrow keys change the slice." : `Arrow keys move point ${selection.end + 1} of ${count}.`);
  draw();
}
