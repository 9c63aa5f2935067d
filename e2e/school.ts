import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { required, Server } from './server.js';

/** What is held out is measured, and a checkpoint written, at every so many steps. */
const EVERY = 10;

/** A server of a tiny random Phi that cannot see yet, with drawn pictures and a recipe to learn from. */
export class School {
  private constructor(
    private readonly folder: string,
    readonly server: Server,
  ) {}

  static async create(): Promise<School> {
    const folder = mkdtempSync(join(tmpdir(), 'jnana-e2e-school-'));
    writeModel(join(folder, 'tiny'));
    const data = join(folder, 'data');
    mkdirSync(join(data, 'recipes'), { recursive: true });
    const trainer = join(dirname(required('JNANA')), 'jnana-trainer');
    execFileSync(trainer, ['draw', '--out', join(data, 'drawn'), '--pictures', '24', '--side', '64']);
    writeFileSync(join(data, 'recipes', 'small.toml'), recipe(join(folder, 'tiny')));
    const server = await Server.create(`model = "${join(folder, 'tiny')}"\ndata = "${data}"\n`);
    return new School(folder, server);
  }

  get recipe(): string {
    return join(this.folder, 'data', 'recipes', 'small.toml');
  }

  async remove(): Promise<void> {
    await this.server.remove();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function writeModel(folder: string): void {
  const tokenizer = join(required('JNANA_TEST_MODELS'), 'gpt2');
  const shape = ['--shape', 'tiny-phi', '--weights', 'f32', '--tokenizer', tokenizer];
  execFileSync(required('JNANA'), ['debug', 'random-model', ...shape, '--out', folder]);
  const card = { format: 1, name: 'tiny', space: 'tiny', template: 'recipe' };
  writeFileSync(join(folder, 'jnana.json'), JSON.stringify(card));
}

function recipe(model: string): string {
  return `
name = "small"
stage = "align"
steps = 800
rate = { rate = 1e-2 }
decoder = { model = "${model}" }
vision = { encoder = "efficientnet-lite0", scale = 0.1 }
[[data]]
name = "drawn"
folder = "drawn"
format = { kind = "coco", captions = "all" }
held_out_share = 0.2
[batches]
by = "positions"
list = [{ up_to = 256, batch = 4 }]
[keep]
evaluate_every = ${EVERY}
checkpoint_every = ${EVERY}
`;
}
