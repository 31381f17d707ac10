// Reports, segmentations and structure sets as OHIF's library writes them.
//   node write_objects.mjs cases.json
// cases.json: {"images": [paths in order], "reports": [{"path", "in_mm", "annotations": [{"tool", "image", "points",
//   "stats", "contour", "text", "label"}]}], "segmentations": [{"path", "labelmap", "labels": [a list per image]}],
//   "structures": [{"path", "regions": [{"label", "contours": [{"image", "points"}]}]}]}
// `image` is the number of the image, `points` are in mm.
import fs from 'fs';

globalThis.window = globalThis;
globalThis.self = globalThis;
const dcmjs = (await import('dcmjs')).default;
const { adaptersSR, adaptersSEG, adaptersRT } = await import('@cornerstonejs/adapters');
const { metaData } = await import('@cornerstonejs/core');
const { MeasurementReport } = adaptersSR.Cornerstone3D;

const cases = JSON.parse(fs.readFileSync(process.argv[2]));
const datasets = cases.images.map((path) => {
  const file = fs.readFileSync(path);
  const parsed = dcmjs.data.DicomMessage.readFile(file.buffer.slice(file.byteOffset, file.byteOffset + file.length));
  const dataset = dcmjs.data.DicomMetaDictionary.naturalizeDataset(parsed.dict);
  dataset._meta = dcmjs.data.DicomMetaDictionary.namifyDataset(parsed.meta);
  return dataset;
});

// What OHIF's own provider answers.
function plane(one) {
  return {
    frameOfReferenceUID: one.FrameOfReferenceUID,
    rows: one.Rows,
    columns: one.Columns,
    imageOrientationPatient: one.ImageOrientationPatient,
    rowCosines: one.ImageOrientationPatient.slice(0, 3),
    columnCosines: one.ImageOrientationPatient.slice(3),
    imagePositionPatient: one.ImagePositionPatient,
    sliceThickness: one.SliceThickness,
    pixelSpacing: one.PixelSpacing,
    rowPixelSpacing: one.PixelSpacing[0],
    columnPixelSpacing: one.PixelSpacing[1],
  };
}

function provide(type, image) {
  const one = datasets[image === 'none' ? 0 : Number(image)];
  if (!one) {
    return undefined;
  }
  const { StudyInstanceUID, PatientID, PatientName } = one;
  const answers = {
    imagePlaneModule: plane(one),
    sopCommonModule: { sopInstanceUID: one.SOPInstanceUID, sopClassUID: one.SOPClassUID },
    instance: one,
    frameNumber: 1,
    StudyData: { StudyInstanceUID, PatientID, PatientName },
    SeriesData: {},
    generalSeriesModule: { seriesInstanceUID: one.SeriesInstanceUID, modality: 'MR' },
    generalStudyModule: { studyInstanceUID: StudyInstanceUID },
    patientModule: { patientID: PatientID, patientName: PatientName },
    frameModule: { sopInstanceUID: one.SOPInstanceUID, sopClassUID: one.SOPClassUID, frameNumber: 1, numberOfFrames: 1 },
    ImageData: one,
  };
  return answers[type];
}
metaData.addProvider(provide, 1000);
const provider = { get: provide };

function write(derived, path) {
  fs.writeFileSync(path, Buffer.from(dcmjs.data.datasetToDict(derived.dataset).write()));
}

for (const { path, in_mm, annotations } of cases.reports) {
  const state = {};
  for (const { tool, image, points, stats, contour, text, label } of annotations) {
    const key = in_mm ? 'none' : `${image}`;
    const textBox = text ? { hasMoved: true, worldPosition: text } : { hasMoved: false };
    const id = in_mm ? undefined : key;
    state[key] ??= {};
    state[key][tool] ??= { data: [] };
    state[key][tool].data.push({
      data: { handles: { points, textBox, arrowFirst: true }, contour, label, cachedStats: { [`imageId:${id}`]: stats ?? {} } },
      metadata: { referencedImageId: id, FrameOfReferenceUID: datasets[0].FrameOfReferenceUID },
    });
  }
  const report = in_mm
    ? MeasurementReport.generateReport.call(
        Object.assign(Object.create(MeasurementReport), {
          getImageIdFromVolume: () => '0',
        }),
        state, provider, {})
    : MeasurementReport.generateReport(state, provider, {});
  write(report, path);
}

for (const { path, labelmap, labels } of cases.segmentations) {
  const [rows, columns] = [datasets[0].Rows, datasets[0].Columns];
  const images = datasets.map((one, k) => ({
    imageId: `${k}`,
    voxelManager: { getScalarData: () => new Uint16Array(rows * columns) },
  }));
  const numbers = [...new Set(labels.flat())].filter((number) => number);
  const metadata = [];
  for (const number of numbers) {
    metadata[number] = {
      SegmentNumber: `${number}`,
      SegmentLabel: `Lesion ${number}`,
      SegmentAlgorithmType: 'MANUAL',
      SegmentedPropertyCategoryCodeSequence: { CodeValue: '49755003', CodingSchemeDesignator: 'SCT', CodeMeaning: 'Abnormal structure' },
      SegmentedPropertyTypeCodeSequence: { CodeValue: '52988006', CodingSchemeDesignator: 'SCT', CodeMeaning: 'Lesion' },
    };
  }
  const labelmaps2D = labels.map((plane) => ({
    pixelData: Uint8Array.from(plane), rows, columns,
    segmentsOnLabelmap: [...new Set(plane)].filter((number) => number),
  }));
  const map = { labelmaps2D, metadata, segmentsOnLabelmap: numbers };
  const options = labelmap ? { sopClassUID: '1.2.840.10008.5.1.4.1.1.66.7' } : {};
  write(adaptersSEG.Cornerstone3D.Segmentation.generateSegmentation(images, map, provider, options), path);
}

for (const { path, regions } of cases.structures) {
  const segments = {};
  const annotations = [];
  regions.forEach(({ label, contours }, k) => {
    segments[k + 1] = { segmentIndex: k + 1, label, color: [255, 0, 0, 255] };
    for (const { image, points } of contours) {
      annotations.push({
        data: { contour: { polyline: points, closed: true }, segmentation: { segmentationId: 'lesions', segmentIndex: k + 1 } },
        metadata: {
          toolName: 'PlanarFreehandContourSegmentationTool',
          referencedImageId: `${image}`,
          FrameOfReferenceUID: datasets[image].FrameOfReferenceUID,
        },
      });
    }
  });
  const dataset = adaptersRT.Cornerstone3D.RTSS.generateRTSSFromAnnotations({ label: 'lesions', segments }, annotations, {});
  write({ dataset }, path);
}
process.exit(0);
