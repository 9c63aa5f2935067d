// Hands the samples of the first channel over in blocks, on the audio thread. Everything else happens in WebAssembly.

const BLOCK = 512; // 32 ms at 16 kHz: small enough for a lively meter, large enough to be few messages

class Pcm extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(BLOCK);
    this.filled = 0;
    this.port.onmessage = () => this.flush();
  }

  flush() {
    if (this.filled === 0) return;
    const samples = this.block.slice(0, this.filled);
    this.filled = 0;
    this.port.postMessage(samples, [samples.buffer]);
  }

  process(inputs) {
    const samples = inputs[0]?.[0];
    if (samples) {
      for (const sample of samples) {
        this.block[this.filled++] = sample;
        if (this.filled === BLOCK) this.flush();
      }
    }
    return true;
  }
}

registerProcessor("pcm", Pcm);
