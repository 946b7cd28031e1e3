// Names what is in image files: node classify.js NODE_MODULES SAVED_MODEL_FOLDER FILE...
// Prints one line of JSON for each file: labels, scores and whether the file is an image.
const fs = require('fs');
const path = require('path');

const [modules, folder, ...files] = process.argv.slice(2);
const tf = require(path.join(modules, '@tensorflow', 'tfjs-node'));

async function main() {
  const model = await tf.node.loadSavedModel(folder, ['serve'], 'classify_bytes');
  const bytes = files.map((file) => new Uint8Array(fs.readFileSync(file)));
  const outputs = model.predict({image_bytes: tf.tensor(bytes, [bytes.length], 'string')});
  const count = outputs.labels.shape[1];
  const [labels, scores, valid] = await Promise.all(
      [outputs.labels.data(), outputs.scores.data(), outputs.valid.data()]);
  files.forEach((_, row) => console.log(JSON.stringify({
    labels: Array.from(labels).slice(row * count, (row + 1) * count),
    scores: Array.from(scores).slice(row * count, (row + 1) * count),
    valid: Boolean(valid[row]),
  })));
}

main().catch((error) => { console.error(error); process.exit(1); });
