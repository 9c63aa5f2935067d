/** Side of a drawing in pixels, as in easy-VQA. */
const SIDE = 64;

/** Points along the side of a pixel that are looked at: they smooth the edge. */
const POINTS = 4;

type Colour = [red: number, green: number, blue: number];

/** Whether a point belongs to the shape. */
type Shape = (x: number, y: number) => boolean;

const GROUND: Colour = [240, 244, 248];

const triangle: Shape = (x, y) => y < 45 && Math.abs(x - 32) < ((y - 19) * 15) / 26;
const circle: Shape = (x, y) => Math.hypot(x - 32, y - 32) < 14;

/** Drawings as in easy-VQA, which the default model has seen others of: one filled shape on a light ground. PPM files. */
export const drawings = {
  redTriangle: () => draw(triangle, [255, 0, 0]),
  blueCircle: () => draw(circle, [0, 0, 255]),
};

function draw(shape: Shape, colour: Colour): Buffer {
  const pixels = Buffer.alloc(SIDE * SIDE * 3);
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const share = covered(shape, x, y);
      colour.forEach((value, channel) => {
        const ground = GROUND[channel];
        pixels[(y * SIDE + x) * 3 + channel] = Math.round(ground + share * (value - ground));
      });
    }
  }
  return Buffer.concat([Buffer.from(`P6\n${SIDE} ${SIDE}\n255\n`), pixels]);
}

/** How much of a pixel the shape covers. */
function covered(shape: Shape, x: number, y: number): number {
  let inside = 0;
  for (let i = 0; i < POINTS * POINTS; i++) {
    const [across, down] = [i % POINTS, Math.floor(i / POINTS)];
    if (shape(x + (across + 0.5) / POINTS, y + (down + 0.5) / POINTS)) inside++;
  }
  return inside / (POINTS * POINTS);
}
