"use strict";
/* What lies over the slices: masks, boxes, crosses, regions, crosshair, letters and scale. */
const COLOURS = { open: "#ffd400", accepted: "#3ddc84", rejected: "#ff8a80", unsure: "#c7a6ff", region: "#8ec7ff" };
const DASHES = { open: [], accepted: [], rejected: [6, 5], unsure: [2, 4], region: [8, 4, 2, 4] };
const shown = { mask: true, box: false, cross: true, hair: true };
const HANDLE = 5;

/* The mask of a finding on a slice: rows of booleans, made once. */
function maskOf(part) {
  if (part.bits || !part.mask) return part.bits;
  const { w, h, runs } = part.mask, bits = new Uint8Array(w * h);
  let at = 0, value = 0;
  for (const run of runs) { if (value) bits.fill(1, at, at + run); at += run; value = 1 - value; }
  part.bits = bits;
  return bits;
}

function stroke(pen, status, strong) {
  pen.strokeStyle = pen.fillStyle = COLOURS[status];
  pen.lineWidth = strong ? 2.6 : 1.6;
  pen.setLineDash(DASHES[status]);
}

function polygon(view, pen, points) {
  pen.beginPath();
  points.forEach((p, i) => { const [x, y] = view.toScreen(p); if (i) pen.lineTo(x, y); else pen.moveTo(x, y); });
  pen.closePath();
}

function drawOverlays(view, pen) {
  for (const mark of edits.now.marks) {
    const finding = findingOf(mark);
    if (shown.mask && finding && !mark.edited) for (const part of finding.parts) drawMask(view, pen, part, mark.status);
    if (shown.box && finding) drawBox(view, pen, finding, mark);
    if (view.name === "axial" && mark.slice === cursor.z) drawCross(view, pen, mark);
  }
  if (view.name === "axial") for (const region of edits.now.regions) drawRegion(view, pen, region);
  if (view.name === "axial") drawUnfinished(view, pen);
}

function drawMask(view, pen, part, status) {
  const bits = maskOf(part);
  if (!bits) return;
  const { x, y, w, h } = part.mask;
  pen.globalAlpha = 0.35; pen.fillStyle = COLOURS[status];
  const cell = (u, v, wide) => {
    const [left, top] = view.toScreen([u - 0.5, v - 0.5]), [right, bottom] = view.toScreen([u + wide - 0.5, v + 0.5]);
    pen.fillRect(left, top, right - left, bottom - top);
  };
  const runsOf = (count, bit, put) => {
    for (let i = 0, from = -1; i <= count; i++) {
      const on = i < count && bit(i);
      if (on && from < 0) from = i;
      if (!on && from >= 0) { put(from, i - from); from = -1; }
    }
  };
  if (view.name === "axial" && part.z === cursor.z) {
    for (let row = 0; row < h; row++) runsOf(w, (i) => bits[row * w + i], (from, wide) => cell(x + from, y + row, wide));
  } else if (view.name === "coronal" && cursor.y >= y && cursor.y < y + h) {
    runsOf(w, (i) => bits[(cursor.y - y) * w + i], (from, wide) => cell(x + from, DEPTH - 1 - part.z, wide));
  } else if (view.name === "sagittal" && cursor.x >= x && cursor.x < x + w) {
    runsOf(h, (i) => bits[i * w + cursor.x - x], (from, wide) => cell(y + from, DEPTH - 1 - part.z, wide));
  }
  pen.globalAlpha = 1;
}

function drawBox(view, pen, finding, mark) {
  stroke(pen, mark.status, mark.id === selection.id);
  for (const { z, box: [x, y, w, h] } of finding.parts) {
    const row = DEPTH - 1 - z, inside = (at, from, size) => at >= from - 0.5 && at < from + size - 0.5;
    let corners = null;
    if (view.name === "axial" && z === cursor.z) corners = [[x - 0.5, y - 0.5], [x + w - 0.5, y + h - 0.5]];
    if (view.name === "coronal" && inside(cursor.y, y, h)) corners = [[x - 0.5, row - 0.5], [x + w - 0.5, row + 0.5]];
    if (view.name === "sagittal" && inside(cursor.x, x, w)) corners = [[y - 0.5, row - 0.5], [y + h - 0.5, row + 0.5]];
    if (!corners) continue;
    const [[left, top], [right, bottom]] = corners.map((c) => view.toScreen(c));
    pen.strokeRect(left, top, right - left, bottom - top);
  }
  pen.setLineDash([]);
}

function drawCross(view, pen, mark) {
  const chosen = mark.id === selection.id;
  if (shown.mask && mark.edited) {
    polygon(view, pen, ellipseOf(mark.points));
    pen.globalAlpha = 0.3; pen.fillStyle = COLOURS[mark.status]; pen.fill(); pen.globalAlpha = 1;
  }
  if (!shown.cross) return;
  const ends = mark.points.map((p) => view.toScreen(p));
  stroke(pen, mark.status, chosen);
  for (const [a, b] of [[0, 1], [2, 3]]) { pen.beginPath(); pen.moveTo(...ends[a]); pen.lineTo(...ends[b]); pen.stroke(); }
  pen.setLineDash([]);
  if (chosen) ends.forEach(([x, y], i) => {
    pen.beginPath(); pen.arc(x, y, HANDLE, 0, 7);
    pen.fillStyle = i === selection.end ? "#fff" : "#000"; pen.fill(); pen.stroke();
  });
  const x = Math.max(...ends.map((e) => e[0])) + 8, y = Math.min(...ends.map((e) => e[1]));
  write(pen, shortName(mark), x, y, COLOURS[mark.status], "left");
}

function drawRegion(view, pen, region) {
  if (Math.abs(region.slice - cursor.z) > region.reach) return;
  const [x, y] = view.toScreen(region.centre), radius = length(region.centre, region.rim) * view.mm;
  stroke(pen, "region", region.id === selection.id);
  pen.beginPath(); pen.arc(x, y, radius, 0, 7); pen.stroke();
  pen.globalAlpha = 0.18; pen.fill(); pen.globalAlpha = 1;
  pen.setLineDash([]);
  write(pen, "not judged", x, y + 5, COLOURS.region, "center");
}

function drawUnfinished(view, pen) {
  if (!unfinished.lines.length) return;
  pen.setLineDash([]); pen.strokeStyle = "#fff"; pen.lineWidth = 1.8;
  for (const [a, b] of unfinished.lines) { pen.beginPath(); pen.moveTo(...view.toScreen(a)); pen.lineTo(...view.toScreen(b)); pen.stroke(); }
  const [a, b] = unfinished.lines.at(-1), [x, y] = view.toScreen(b);
  write(pen, `${length(a, b).toFixed(1)} mm`, x + 10, y, "#fff", "left");
}

function write(pen, text, x, y, colour, align) {
  pen.font = "600 13px system-ui, sans-serif"; pen.textAlign = align;
  pen.lineWidth = 3; pen.strokeStyle = "#000"; pen.lineJoin = "round"; pen.setLineDash([]);
  pen.strokeText(text, x, y); pen.fillStyle = colour; pen.fillText(text, x, y);
}

/* Crosshair, orientation letters and the scale in mm. */
function drawFurniture(view, pen) {
  if (shown.hair) {
    const [x, y] = view.toScreen(view.place()), gap = 9;
    pen.strokeStyle = "rgba(102,178,255,.75)"; pen.lineWidth = 1; pen.setLineDash([]);
    for (const [x1, y1, x2, y2] of [[0, y, x - gap, y], [x + gap, y, view.w, y], [x, 0, x, y - gap], [x, y + gap, x, view.h]]) {
      pen.beginPath(); pen.moveTo(x1, y1); pen.lineTo(x2, y2); pen.stroke();
    }
  }
  const [left, right, top, bottom] = view.letters;
  write(pen, left, 8, view.h / 2 + 5, "#fff", "left"); write(pen, right, view.w - 8, view.h / 2 + 5, "#fff", "right");
  write(pen, top, view.w / 2, 18, "#fff", "center"); write(pen, bottom, view.w / 2, view.h - 8, "#fff", "center");
  const wanted = view.w / 4 / view.mm, size = [1, 2, 5, 10, 20, 50, 100, 200].filter((mm) => mm <= wanted).at(-1) || 1;
  const x = 10, y = view.h - 12;
  pen.strokeStyle = "#000"; pen.lineWidth = 4; pen.beginPath(); pen.moveTo(x, y); pen.lineTo(x + size * view.mm, y); pen.stroke();
  pen.strokeStyle = "#fff"; pen.lineWidth = 2; pen.stroke();
  write(pen, `${size} mm`, x, y - 6, "#fff", "left");
}
