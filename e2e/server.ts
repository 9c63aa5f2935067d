import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** A real `jnana serve` with a home of its own; model files are shared. */
export class Server {
  private process?: ChildProcess;

  private constructor(
    readonly home: string,
    readonly port: number,
  ) {}

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** `settings` are lines of `jnana.toml`. */
  static async create(settings = ''): Promise<Server> {
    const home = mkdtempSync(join(tmpdir(), 'jnana-e2e-'));
    writeFileSync(join(home, 'jnana.toml'), settings);
    symlinkSync(required('JNANA_TEST_MODELS'), join(home, 'models'));
    const server = new Server(home, await freePort());
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    const args = ['serve', '--home', this.home, '--port', String(this.port)];
    this.process = spawn(required('JNANA'), args, {
      stdio: ['ignore', 'ignore', 'inherit'],
      // Homes are new: what is packed for one would only fill the disk.
      env: { ...process.env, JNANA_LOG: 'warn', JNANA_PACKED_MIB: '0' },
    });
    const until = Date.now() + 60_000;
    while (!(await this.ready())) {
      if (this.process.exitCode !== null) throw new Error(`jnana serve ended with ${this.process.exitCode}`);
      if (Date.now() > until) throw new Error('jnana serve was not ready within a minute');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Ends the process at once, as a power cut would. */
  async kill(): Promise<void> {
    const process = this.process;
    if (!process || process.exitCode !== null || process.signalCode !== null) return;
    const gone = once(process, 'exit');
    process.kill('SIGKILL');
    await gone;
  }

  /** Installs a plugin by the command line and starts again, as an operator does. */
  async install(library: string): Promise<void> {
    execFileSync(required('JNANA'), ['plugin', 'install', library, '--home', this.home]);
    await this.kill();
    await this.start();
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.home, { recursive: true, force: true });
  }

  /** A new admin token, made as an operator does; the one before it ends. */
  async adminToken(): Promise<string> {
    const { stdout } = await promisify(execFile)(required('JNANA'), ['admin', 'token', '--home', this.home]);
    return stdout.trim();
  }

  /** One number of `/metrics`. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = text.split('\n').find((line) => line.startsWith(`${name} `));
    if (!line) throw new Error(`no metric ${name} in\n${text}`);
    return Number(line.split(' ')[1]);
  }

  private async ready(): Promise<boolean> {
    try {
      return (await fetch(`${this.url}/readyz`)).ok;
    } catch {
      return false;
    }
  }
}

export function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run the browser tests through cargo xtask test`);
  return value;
}

async function freePort(): Promise<number> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  listener.close();
  if (typeof address !== 'object' || !address) throw new Error('no free port');
  return address.port;
}
