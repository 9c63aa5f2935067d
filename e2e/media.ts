import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { drawings } from './shapes.js';

const here = import.meta.dirname;
const folder = join(here, 'media');

/** Files that the fake devices play. */
export const media = {
  picture: join(folder, 'bear.y4m'),
  triangle: join(folder, 'triangle.y4m'),
  circle: join(folder, 'circle.y4m'),
  speech: join(folder, 'speech.wav'),
  explain: join(folder, 'explain.wav'),
  silence: join(folder, 'silence.wav'),
  photo: join(here, 'assets', 'bear.jpg'),
};

/** What the synthetic voice says. The other recording is a person: synthetic voices are misheard. */
const EXPLAIN = 'Please explain this image.';

const RECORDING = join(here, '..', 'plugins', 'whisper', 'tests', 'fixtures', 'jfk.wav');

/** Makes them once, with ffmpeg and espeak-ng. */
export default function make(): void {
  mkdirSync(folder, { recursive: true });
  once(media.picture, () => film(media.photo, media.picture));
  filmDrawing(media.triangle, drawings.redTriangle);
  filmDrawing(media.circle, drawings.blueCircle);
  once(media.speech, () => play(RECORDING, media.speech));
  say(media.explain, EXPLAIN);
  once(media.silence, () => ffmpeg('-f', 'lavfi', '-i', 'anullsrc=r=48000:cl=mono', '-t', '4', '-c:a', 'pcm_s16le', media.silence));
}

/** A second of video in a camera's format. It is filled to its edges, since the model sees every frame as a square. */
function film(picture: string, file: string): void {
  ffmpeg('-loop', '1', '-i', picture, '-t', '1', '-r', '5', '-vf', 'scale=640:480,format=yuv420p', '-f', 'yuv4mpegpipe', file);
}

function filmDrawing(file: string, drawing: () => Buffer): void {
  once(file, () => {
    const picture = file.replace('.y4m', '.ppm');
    writeFileSync(picture, drawing());
    film(picture, file);
  });
}

function say(file: string, words: string): void {
  once(file, () => {
    const raw = file.replace('.wav', '.raw.wav');
    execFileSync('espeak-ng', ['-v', 'en-us', '-s', '130', '-w', raw, words]);
    play(raw, file);
  });
}

/** A second of quiet first, so that no word is lost before the recorder runs; quiet behind, since the last buffer repeats. */
function play(recording: string, file: string): void {
  ffmpeg('-i', recording, '-ar', '48000', '-ac', '1', '-c:a', 'pcm_s16le', '-af', 'adelay=1000,apad=pad_dur=3', file);
}

function once(file: string, makeIt: () => void): void {
  if (!existsSync(file)) makeIt();
}

function ffmpeg(...args: string[]): void {
  execFileSync('ffmpeg', ['-v', 'error', '-y', ...args]);
}
