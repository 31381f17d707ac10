"use strict";
/* What leaves the page: a bookmark table, Slicer markups and review.json, as files that the browser saves. */
const ENDS = ["long", "long", "short", "short"];
const MM_COLUMNS = ENDS.flatMap((axis, i) => ["x", "y", "z"].map((c) => `${axis}_${c}${i % 2 + 1}_mm`));
const COLUMNS_OF_TABLE = ["volume", "frame", ...MM_COLUMNS, "site", "status", "lesion", "score", "reason", "comment"];
const TABLE_STATUS = { accepted: "lesion", rejected: "not-a-lesion", unsure: "ignore" };
const MARKUPS_SCHEMA = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/markups-schema-v1.0.3.json#";

const rounded = (values) => values.map((value) => Math.round(value * 1e4) / 1e4);
const patientPoints = (points, slice) => points.map(([x, y]) => rounded(toPatient(x, y, slice)));

function cell(value) {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

/* One row per mark that is judged, per slice of a region, and one if the whole volume was looked at. */
function tableText() {
  const rows = [COLUMNS_OF_TABLE];
  const row = (numbers, more) => {
    const cells = { volume: DATA.volume, frame: "LPS", ...more };
    numbers.forEach((value, i) => { cells[MM_COLUMNS[i]] = value; });
    rows.push(COLUMNS_OF_TABLE.map((name) => cells[name]));
  };
  for (const mark of edits.now.marks) {
    if (mark.status === "open") continue;
    const finding = findingOf(mark), { site, reason, comment } = mark;
    row(patientPoints(ordered(mark.points), mark.slice).flat(),
      { site, reason, comment, status: TABLE_STATUS[mark.status], lesion: mark.finding, score: finding ? finding.score : null });
  }
  for (const region of edits.now.regions) {
    const across = [0, 1].map((i) => 2 * region.centre[i] - region.rim[i]);
    for (let z = Math.max(0, region.slice - region.reach); z <= Math.min(DEPTH - 1, region.slice + region.reach); z++) {
      row(patientPoints([across, region.rim], z).flat(), { status: "ignore" });
    }
  }
  if (edits.now.complete) row([], { status: "complete" });
  return rows.map((cells) => cells.map(cell).join(",") + "\n").join("");
}

/* Two lines for each accepted lesion. */
function markupsText() {
  const line = (name, ends) => ({
    type: "Line", coordinateSystem: "LPS", coordinateUnits: "mm", locked: false, labelFormat: "%N-%d", name,
    controlPoints: ends.map((position, i) => ({
      id: String(i + 1), label: `${name} ${i + 1}`, position, positionStatus: "defined", selected: true, locked: false, visibility: true,
    })),
  });
  const markups = edits.now.marks.filter((m) => m.status === "accepted").flatMap((mark) => {
    const points = patientPoints(ordered(mark.points), mark.slice), name = `lesion-${shortName(mark)}`;
    return [line(`${name} long`, points.slice(0, 2)), line(`${name} short`, points.slice(2))];
  });
  return JSON.stringify({ "@schema": MARKUPS_SCHEMA, markups }) + "\n";
}

function reviewText() {
  const { marks, regions, complete, reader, date } = edits.now;
  return JSON.stringify({
    schema: 1, volume_id: DATA.volume, model: DATA.model, complete, reader, date,
    marks: marks.map((mark) => {
      const points = ordered(mark.points), finding = findingOf(mark);
      return {
        id: mark.id, finding: mark.finding, score: finding ? finding.score : null, status: mark.status, reason: mark.reason,
        site: mark.site, comment: mark.comment, edited: mark.edited, slice_index: mark.slice,
        points: points.map(rounded), points_lps: patientPoints(points, mark.slice),
      };
    }),
    regions: regions.map((region) => ({
      id: region.id, first_slice: Math.max(0, region.slice - region.reach), last_slice: Math.min(DEPTH - 1, region.slice + region.reach),
      centre: rounded(region.centre), radius_mm: length(region.centre, region.rim),
    })),
  }) + "\n";
}

function save(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], { type })), link = element("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
  edits.exported = true;
  edits.restored = false;
  showState();
  const open = edits.now.marks.filter((m) => m.status === "open").length;
  say(`${name} is saved.${open ? ` ${open} findings that are not judged yet are not in it.` : ""}`);
}

const SAVERS = {
  table: () => save(`${DATA.volume}.review.csv`, tableText(), "text/csv"),
  markups: () => save(`${DATA.volume}.mrk.json`, markupsText(), "application/json"),
  review: () => save(`${DATA.volume}.review.json`, reviewText(), "application/json"),
};
