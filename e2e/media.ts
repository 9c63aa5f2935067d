import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

const here = import.meta.dirname;
const folder = join(here, 'media');

/** Files that the fake devices play. */
export const media = {
  picture: join(folder, 'bear.y4m'),
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
  once(media.picture, () =>
    ffmpeg('-loop', '1', '-i', media.photo, '-t', '1', '-r', '5', '-vf', 'scale=640:480,format=yuv420p', '-f', 'yuv4mpegpipe', media.picture),
  );
  once(media.speech, () => play(RECORDING, media.speech));
  say(media.explain, EXPLAIN);
  once(media.silence, () => ffmpeg('-f', 'lavfi', '-i', 'anullsrc=r=48000:cl=mono', '-t', '4', '-c:a', 'pcm_s16le', media.silence));
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
