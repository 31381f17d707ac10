"use strict";
/* The charts come ready-made from Python in DATA.charts (Plotly's JSON form). */
const look = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: "#e8edf3", size: 13 }, margin: { l: 58, r: 16, t: 40, b: 48 }, hovermode: "closest" };
const axis = { gridcolor: "#2b3541", zerolinecolor: "#2b3541", automargin: true };
function plot(id, chart) {
  const place = $(id);
  if (!place || !chart) return null;
  const narrow = window.innerWidth < 760, f = chart.layout;
  const layout = { ...look, ...f, xaxis: { ...axis, ...f.xaxis }, yaxis: { ...axis, ...f.yaxis }, legend: { orientation: "h", y: narrow ? -0.25 : -0.2, yanchor: "top", font: { size: narrow ? 11 : 12 } } };
  if (narrow) { layout.margin = { ...look.margin, l: 44, t: f.title ? 40 : 12 }; layout.xaxis.title = undefined; layout.yaxis.title = undefined; }
  Plotly.newPlot(place, chart.data, layout, { responsive: true, displaylogo: false, displayModeBar: narrow ? false : "hover", scrollZoom: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] });
  return place;
}
for (const name of Object.keys(DATA.charts)) if (name !== "froc") plot(name + "-plot", DATA.charts[name]);
/* A logarithmic axis has no place for 0 false positives: they stand at its left end there. To the
   right of its last point a curve keeps its last sensitivity, as the metrics do. */
const curves = DATA.charts.froc ? DATA.charts.froc.data : [], RIGHT = 8;
const LEFT = curves.flatMap((t) => t.x).reduce((low, x) => (x > 0 && x < low ? x : low), 1 / 16) / 2;
for (const t of curves) if (t.name) {
  const end = t.x.length - 1;
  if (t.x[end] < RIGHT) for (const [key, value] of [["x", RIGHT], ["y", t.y[end]], ["customdata", t.customdata[end]]]) t[key].push(value);
  t.text = t.x.map((x) => String(Number(x.toPrecision(3))));
  t.hovertemplate = t.hovertemplate.replace("%{x:.3g}", "%{text}");
}
const exact = curves.map((t) => t.x);
const across = (x) => ($("froc-axis").value === "log" ? Math.max(x, LEFT) : x);
for (const t of curves) t.x = t.x.map(across);
const froc = plot("froc-plot", DATA.charts.froc);
if (froc) {
  let mark;
  $("froc-axis").addEventListener("change", (e) => {
    Plotly.restyle(froc, { x: exact.map((x) => x.map(across)) }, exact.map((_, index) => index));
    Plotly.relayout(froc, { "xaxis.type": e.target.value, "xaxis.tickmode": e.target.value === "log" ? "array" : "auto", "xaxis.autorange": true });
    if (DATA.slices.length) mark(state.thr, state.rule);
  });
  if (DATA.slices.length) {
    Plotly.addTraces(froc, { x: [null], y: [null], mode: "markers", name: "threshold of the slice browser", cliponaxis: false, marker: { size: 12, color: "#ffffff", line: { color: "#ff0000", width: 3 } } });
    const last = froc.data.length - 1;
    mark = (threshold, rule) => {
      const [tp, fp] = totalsFrom(DATA.totals[rule], threshold);
      Plotly.restyle(froc, { x: [[across(fp / Math.max(1, DATA.n_images))]], y: [[100 * tp / Math.max(1, DATA.n_lesions)]] }, [last]);
    };
    listeners.push(mark); mark(state.thr, state.rule);
  }
}
