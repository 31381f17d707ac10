"use strict";
/* The three views. Coordinates of a view: (u, v) in its pixels, v downwards, centres are whole numbers. */
const cursor = { x: COLUMNS >> 1, y: ROWS >> 1, z: DEPTH >> 1 };  // the crosshair, a voxel

/* Radiological convention: the patient's right is on the left of the screen, the head is up. */
const PLANES = {
  axial: {
    width: COLUMNS, height: ROWS, su: SX, sv: SY, letters: ["R", "L", "A", "P"], depth: "z",
    fill(pixels) { const values = voxels[cursor.z]; if (values) for (let i = 0; i < pixels.length; i++) pixels[i] = palette[values[i]]; },
    place: () => [cursor.x, cursor.y],
    index: (u, v) => ({ x: u, y: v }),
  },
  coronal: {
    width: COLUMNS, height: DEPTH, su: SX, sv: SZ, letters: ["R", "L", "H", "F"], depth: "y",
    fill(pixels) {
      for (let z = 0; z < DEPTH; z++) {
        const values = voxels[z], to = (DEPTH - 1 - z) * COLUMNS, from = cursor.y * COLUMNS;
        if (values) for (let x = 0; x < COLUMNS; x++) pixels[to + x] = palette[values[from + x]];
      }
    },
    place: () => [cursor.x, DEPTH - 1 - cursor.z],
    index: (u, v) => ({ x: u, z: DEPTH - 1 - v }),
  },
  sagittal: {
    width: ROWS, height: DEPTH, su: SY, sv: SZ, letters: ["A", "P", "H", "F"], depth: "x",
    fill(pixels) {
      for (let z = 0; z < DEPTH; z++) {
        const values = voxels[z], to = (DEPTH - 1 - z) * ROWS;
        if (values) for (let y = 0; y < ROWS; y++) pixels[to + y] = palette[values[y * COLUMNS + cursor.x]];
      }
    },
    place: () => [cursor.y, DEPTH - 1 - cursor.z],
    index: (u, v) => ({ y: u, z: DEPTH - 1 - v }),
  },
};
const LAST = { x: COLUMNS - 1, y: ROWS - 1, z: DEPTH - 1 };

class View {
  constructor(name) {
    Object.assign(this, PLANES[name], { name, canvas: $(name), zoom: 1, centre: null, key: "" });
    this.stage = this.canvas.parentElement;
    this.image = new OffscreenCanvas(this.width, this.height);
    this.pixels = this.image.getContext("2d").createImageData(this.width, this.height);
  }

  /* Pixels of the screen per mm, and where (u, v) = (0, 0) lies. */
  measure() {
    const ratio = devicePixelRatio || 1, { clientWidth, clientHeight } = this.stage;
    const width = Math.round(clientWidth * ratio), height = Math.round(clientHeight * ratio);
    if (this.canvas.width !== width || this.canvas.height !== height) { this.canvas.width = width; this.canvas.height = height; }
    this.w = clientWidth; this.h = clientHeight; this.ratio = ratio;
    const fit = Math.min(this.w / (this.width * this.su), this.h / (this.height * this.sv));
    if (this.zoom <= 1 || !this.centre) this.centre = [(this.width - 1) / 2, (this.height - 1) / 2];
    this.mm = fit * this.zoom;
    this.left = this.w / 2 - this.centre[0] * this.su * this.mm;
    this.top = this.h / 2 - this.centre[1] * this.sv * this.mm;
  }

  toScreen([u, v]) { return [this.left + u * this.su * this.mm, this.top + v * this.sv * this.mm]; }
  fromScreen(x, y) { return [(x - this.left) / (this.su * this.mm), (y - this.top) / (this.sv * this.mm)]; }

  /* Position of a pointer in the view's pixels. */
  at(event) {
    const box = this.stage.getBoundingClientRect();
    return this.fromScreen(event.clientX - box.left, event.clientY - box.top);
  }

  zoomBy(factor, around = null) {
    const before = around || this.centre, zoom = clamp(this.zoom * factor, 1, 24);
    const share = this.zoom / zoom;
    this.centre = this.centre.map((c, i) => before[i] + (c - before[i]) * share);
    this.zoom = zoom;
    draw();
  }

  pan(dx, dy) {
    this.centre = [this.centre[0] - dx / (this.su * this.mm), this.centre[1] - dy / (this.sv * this.mm)];
    this.centre = [clamp(this.centre[0], 0, this.width - 1), clamp(this.centre[1], 0, this.height - 1)];
    draw();
  }

  paint() {
    this.measure();
    const key = [cursor[this.depth], intensity.version, loaded.count].join();
    if (key !== this.key) {
      this.fill(new Uint32Array(this.pixels.data.buffer));
      this.image.getContext("2d").putImageData(this.pixels, 0, 0);
      this.key = key;
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.fillStyle = "#000"; pen.fillRect(0, 0, this.w, this.h);
    const [x, y] = this.toScreen([-0.5, -0.5]);
    pen.imageSmoothingEnabled = $("smooth").checked;
    pen.drawImage(this.image, x, y, this.width * this.su * this.mm, this.height * this.sv * this.mm);
    drawOverlays(this, pen);
    drawFurniture(this, pen);
  }
}

const views = {};
let waiting = false;

/* Paint before the next frame, once, however often it is asked for. */
function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; for (const view of Object.values(views)) view.paint(); showPlace(); });
}

function moveCursor(to) {
  for (const axis of ["x", "y", "z"]) if (to[axis] !== undefined) cursor[axis] = clamp(Math.round(to[axis]), 0, LAST[axis]);
  draw();
}
