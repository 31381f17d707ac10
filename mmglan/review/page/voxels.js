"use strict";
/* The volume: 8-bit voxels of all slices, unpacked from the page one by one, and the window. */
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const [DEPTH, ROWS, COLUMNS] = DATA.shape;
const voxels = new Array(DEPTH).fill(null);  // of each slice Uint8Array(ROWS * COLUMNS)
const loaded = { count: 0 };
const intensity = { level: (DATA.window[0] + DATA.window[1]) / 2, width: DATA.window[1] - DATA.window[0], version: 0 };
const palette = new Uint32Array(256);        // value -> grey pixel

async function unpack(z) {
  const holder = $("z-" + z), text = atob(holder.textContent), packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const values = new Uint8Array(await new Response(stream).arrayBuffer());
  for (let row = 0; row < ROWS; row++) {
    const end = (row + 1) * COLUMNS;
    for (let i = row * COLUMNS + 1; i < end; i++) values[i] += values[i - 1];  // wraps at 256
  }
  holder.remove();
  voxels[z] = values;
  loaded.count += 1;
}

/* Unpack all slices, those near `first` before the others; `shown` is called now and then. */
async function unpackAll(first, shown) {
  const order = [...voxels.keys()].sort((a, b) => Math.abs(a - first) - Math.abs(b - first));
  let last = performance.now();
  for (const z of order) {
    await unpack(z);
    if (z === first || loaded.count === DEPTH || performance.now() - last > 250) {
      shown();
      last = performance.now();
      await new Promise((resume) => setTimeout(resume));
    }
  }
}

function setWindow(level, width) {
  const [low, high] = DATA.range, span = high - low;
  intensity.level = Math.min(Math.max(level, low), high);
  intensity.width = Math.min(Math.max(width, span / 255), 2 * span);
  intensity.version += 1;
  const black = intensity.level - intensity.width / 2;
  for (let value = 0; value < 256; value++) {
    const grey = Math.round(255 * Math.min(Math.max((low + value * span / 255 - black) / intensity.width, 0), 1));
    palette[value] = 0xff000000 | grey << 16 | grey << 8 | grey;
  }
}

/* Intensity at a voxel, as far as 8 bits tell it. */
function valueAt(x, y, z) {
  const values = voxels[z];
  if (!values) return null;
  return DATA.range[0] + values[y * COLUMNS + x] * (DATA.range[1] - DATA.range[0]) / 255;
}
