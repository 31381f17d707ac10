"use strict";
/* Geometry of crosses: points are (x, y) in pixels of an axial slice, pixel centres are whole numbers. */
const [SX, SY, SZ] = DATA.spacing;

const length = (a, b) => Math.hypot((b[0] - a[0]) * SX, (b[1] - a[1]) * SY);  // mm
const longLength = (points) => length(points[0], points[1]);
const shortLength = (points) => length(points[2], points[3]);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/* Axial index (x, y, z) to mm of the patient (LPS). */
function toPatient(x, y, z) {
  return DATA.origin.map((o, i) => o + x * DATA.steps[0][i] + y * DATA.steps[1][i] + z * DATA.steps[2][i]);
}

/* Unit vectors in mm along a line and across it. */
function directions(a, b) {
  const size = length(a, b) || 1, along = [(b[0] - a[0]) * SX / size, (b[1] - a[1]) * SY / size];
  return { along, across: [-along[1], along[0]], size };
}

/* A cross by its long axis, where the short axis crosses it (mm from the first end), and how far that reaches. */
function partsOf([l1, l2, s1, s2]) {
  const { along, across, size } = directions(l1, l2);
  const place = (p) => {
    const mm = [(p[0] - l1[0]) * SX, (p[1] - l1[1]) * SY];
    return [mm[0] * along[0] + mm[1] * along[1], mm[0] * across[0] + mm[1] * across[1]];
  };
  const [t1, h1] = place(s1), [t2, h2] = place(s2);
  return { at: (t1 + t2) / 2 / size, ends: [h1, h2] };
}

/* The cross of such parts: its axes are perpendicular in mm and meet. */
function crossOf(l1, l2, { at, ends }) {
  const { along, across, size } = directions(l1, l2), t = clamp(at, 0, 1) * size;
  const point = (h) => [l1[0] + (along[0] * t + across[0] * h) / SX, l1[1] + (along[1] * t + across[1] * h) / SY];
  return [l1, l2, point(ends[0]), point(ends[1])];
}

/* Move one end point (0 to 3) of a cross; the short axis stays perpendicular and on the long one. */
function moveEnd(points, end, to) {
  const parts = partsOf(points);
  if (end < 2) {
    const ends = end === 0 ? [to, points[1]] : [points[0], to];
    return crossOf(...ends, parts);
  }
  const moved = partsOf([points[0], points[1], to, to]);
  parts.at = moved.at;
  const side = Math.sign(parts.ends[end - 2]) || (end === 2 ? -1 : 1);
  parts.ends[end - 2] = side * Math.max(side * moved.ends[0], 0);
  return crossOf(points[0], points[1], parts);
}

/* The second line of a new cross, magnetised to the perpendicular of the first; null if they do not meet. */
function crossFromLines(l1, l2, s1, s2) {
  const start = partsOf([l1, l2, s1, s1]), end = partsOf([l1, l2, s2, s2]);
  const ends = [start.ends[0], end.ends[0]], at = (start.at + end.at) / 2;
  if (ends[0] * ends[1] > 0 || at < 0 || at > 1) return null;
  return crossOf(l1, l2, { at, ends });
}

/* The longer axis first. */
function ordered(points) {
  return longLength(points) >= shortLength(points) ? points : [points[2], points[3], points[0], points[1]];
}

/* Where the axes cross. */
function centreOf(points) {
  const { at } = partsOf(points), t = clamp(at, 0, 1);
  return [0, 1].map((i) => points[0][i] + t * (points[1][i] - points[0][i]));
}

/* Outline of the pseudo mask: four quarter ellipses through the end points, half a pixel wider. */
function ellipseOf(points, corners = 64) {
  const centre = centreOf(points), outline = [];
  const arm = (end) => {
    const v = [end[0] - centre[0], end[1] - centre[1]], size = Math.hypot(...v);
    return { v, size };
  };
  const axis = (a, b) => {
    const one = arm(a), other = arm(b), main = one.size > other.size ? one : { v: other.v.map((c) => -c), size: other.size };
    const unit = main.size ? main.v.map((c) => c / main.size) : [1, 0];
    return (positive) => unit.map((c) => c * (positive ? one.size + 0.5 : -(other.size + 0.5)));
  };
  const long = axis(points[0], points[1]), short = axis(points[2], points[3]);
  for (let i = 0; i < corners; i++) {
    const angle = 2 * Math.PI * i / corners, c = Math.cos(angle), s = Math.sin(angle);
    const u = long(c >= 0), v = short(s >= 0);
    outline.push([0, 1].map((k) => centre[k] + Math.abs(c) * u[k] + Math.abs(s) * v[k]));
  }
  return outline;
}
