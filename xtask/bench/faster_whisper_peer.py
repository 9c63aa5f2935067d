"""Milliseconds that faster-whisper takes for each recording:

    python faster_whisper_peer.py MODEL THREADS RUNS FILE...

MODEL is a CTranslate2 folder, each FILE a wav of 16-bit samples, mono, 16 kHz. Prints the medians as a list.
"""

import json
import statistics
import sys
import time
import wave

import numpy
from faster_whisper import WhisperModel


def samples(path):
    with wave.open(path) as sound:
        values = numpy.frombuffer(sound.readframes(sound.getnframes()), numpy.int16)
    return values.astype(numpy.float32) / 32768


def listen(model, sound):
    start = time.perf_counter()
    segments, _ = model.transcribe(sound, language="en", beam_size=1, condition_on_previous_text=False)
    # The segments are made while they are read.
    list(segments)
    return 1e3 * (time.perf_counter() - start)


def main(folder, threads, runs, *files):
    model = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=int(threads))
    medians = []
    for sound in map(samples, files):
        listen(model, sound)
        medians.append(statistics.median(listen(model, sound) for _ in range(int(runs))))
    print(json.dumps(medians))


main(*sys.argv[1:])
