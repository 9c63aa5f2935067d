import type { PlaywrightTestOptions, PlaywrightWorkerOptions } from '@playwright/test';
import { existsSync } from 'node:fs';
import { media } from './media.js';

/** What the fake devices show and say; without a picture there is no camera. */
export interface Devices {
  picture?: string;
  sound?: string;
  /** Cameras that show a test pattern instead of the picture. */
  cameras?: number;
  /** Whether the page may use them; a person who is asked and says no is `false`. */
  allowed?: boolean;
}

/** Chromium of the system with fake devices that play real files. */
export function browser({
  picture = media.picture,
  sound = media.speech,
  cameras,
  allowed = true,
}: Devices = {}): Partial<PlaywrightTestOptions & PlaywrightWorkerOptions> {
  const args = ['--no-sandbox', '--autoplay-policy=no-user-gesture-required'];
  if (allowed) args.push('--use-fake-ui-for-media-stream');
  if (cameras) args.push(`--use-fake-device-for-media-stream=device-count=${cameras}`);
  else args.push('--use-fake-device-for-media-stream', `--use-file-for-fake-video-capture=${picture}`);
  args.push(
    // Played once: the file ends in silence, which then goes on.
    `--use-file-for-fake-audio-capture=${sound}%noloop`,
  );
  return {
    permissions: allowed ? ['camera', 'microphone'] : [],
    launchOptions: { executablePath: chromium(), args },
  };
}

/** A browser on a machine without camera and microphone. */
export function withoutDevices(): Partial<PlaywrightTestOptions & PlaywrightWorkerOptions> {
  return {
    permissions: ['camera', 'microphone'],
    launchOptions: { executablePath: chromium(), args: ['--no-sandbox', '--use-fake-ui-for-media-stream'] },
  };
}

function chromium(): string {
  const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
  const found = places.find((place) => existsSync(place));
  if (!found) throw new Error(`no Chromium in ${places.join(', ')}: install the package chromium`);
  return found;
}
