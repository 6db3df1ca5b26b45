// Executes a TensorFlow.js graph model on the CPU: node execute_graph.js MODEL.json MODEL.bin INPUT.bin OUTPUT.json
// INPUT.bin: float32 [1, 3, 416, 416]. OUTPUT.json: {name: {shape, values}}. Needs npm's @tensorflow/tfjs.
const fs = require('fs');
const tf = require('@tensorflow/tfjs');

async function main(graphFile, weightsFile, inputFile, outputFile) {
  await tf.setBackend('cpu');
  const graph = JSON.parse(fs.readFileSync(graphFile));
  const bytes = new Uint8Array(fs.readFileSync(weightsFile)).buffer;
  const model = await tf.loadGraphModel(tf.io.fromMemory({
    modelTopology: graph.modelTopology,
    weightSpecs: graph.weightsManifest[0].weights,
    weightData: bytes,
    signature: graph.signature,
  }));
  const pixels = new Float32Array(new Uint8Array(fs.readFileSync(inputFile)).buffer);
  const names = Object.keys(graph.signature.outputs);
  const outputs = model.execute(tf.tensor(pixels, [1, 3, 416, 416]), names);
  const found = {};
  names.forEach((name, number) => {
    found[name] = { shape: outputs[number].shape, values: Array.from(outputs[number].dataSync()) };
  });
  fs.writeFileSync(outputFile, JSON.stringify(found));
}

main(...process.argv.slice(2));
