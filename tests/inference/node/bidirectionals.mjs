// What OHIF's library makes of DICOM reports, as JSON on standard output.
//   node bidirectionals.mjs cases.json
// cases.json: [{"report": path, "planes": {"SOP instance UID:frame": imagePlaneModule}}]
// Output: for each report a list of {tool, points, image, frameOfReference, finding}, or the text of the error.
import fs from 'fs';

globalThis.window = globalThis;
globalThis.self = globalThis;
const dcmjs = (await import('dcmjs')).default;
const { adaptersSR } = await import('@cornerstonejs/adapters');
const { metaData } = await import('@cornerstonejs/core');

let planes = {};
metaData.addProvider((type, image) => (type === 'imagePlaneModule' ? planes[image] : undefined), 1000);

function read(path) {
  const file = fs.readFileSync(path);
  const parsed = dcmjs.data.DicomMessage.readFile(
    file.buffer.slice(file.byteOffset, file.byteOffset + file.length)
  );
  return dcmjs.data.DicomMetaDictionary.naturalizeDataset(parsed.dict);
}

function measurements(report) {
  const images = Object.fromEntries(Object.keys(planes).map((image) => [image, image]));
  const provider = { get: (type, image) => planes[image] };
  const tools = adaptersSR.Cornerstone3D.MeasurementReport.generateToolState(report, images, provider);
  return Object.entries(tools).flatMap(([tool, found]) =>
    found.map(({ annotation, finding }) => ({
      tool,
      points: annotation.data.handles.points.map((point) => Array.from(point)),
      image: annotation.metadata.referencedImageId ?? null,
      frameOfReference: annotation.metadata.FrameOfReferenceUID ?? null,
      finding: finding?.CodeMeaning ?? null,
    }))
  );
}

const answers = JSON.parse(fs.readFileSync(process.argv[2])).map((one) => {
  planes = one.planes;
  try {
    return measurements(read(one.report));
  } catch (error) {
    return `${error}`;
  }
});
fs.writeSync(1, JSON.stringify(answers));
process.exit(0);
