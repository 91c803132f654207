// Speeds of llama.cpp, through the npm package node-llama-cpp, for what
// `tritflow bench` calls decode at context 0 and prefill: one JSON line.
//   node llama.mjs MODEL THREADS
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [path, threads] = [process.argv[2], Number(process.argv[3])];
const llama = await getLlama({gpu: false, build: "never", maxThreads: threads, logLevel: LlamaLogLevel.error});
const model = await llama.loadModel({modelPath: path, gpuLayers: 0});
const context = await model.createContext({contextSize: 1024, batchSize: 512, threads});
const sequence = context.getSequence();
const vocabulary = model.trainContextSize > 0 ? 49152 : 32000;
const prompt = n => Array.from({length: n}, (_, i) => vocabulary / 4 + (i * 31) % (vocabulary / 2));
const median = xs => xs.sort((a, b) => a - b)[xs.length >> 1];

async function prefill(n) {
    const speeds = [];
    for (let i = 0; i < 5; i++) {
        await sequence.clearHistory();
        const start = performance.now();
        await sequence.evaluateWithoutGeneratingNewTokens(prompt(n));
        speeds.push(n * 1000 / (performance.now() - start));
    }
    return median(speeds);
}

async function decode(warm, n) {
    const speeds = [];
    for (let i = 0; i < 3; i++) {
        await sequence.clearHistory();
        let count = 0, start = 0;
        for await (const _ of sequence.evaluate(prompt(1), {temperature: 0, yieldEogToken: true})) {
            if (++count === warm) start = performance.now();
            if (count === warm + n) break;
        }
        speeds.push((count - warm) * 1000 / (performance.now() - start));
    }
    return median(speeds);
}

console.log(JSON.stringify({
    engine: "llama.cpp", threads, prefill_128: await prefill(128), prefill_512: await prefill(512), decode: await decode(3, 128),
}));
await llama.dispose();
