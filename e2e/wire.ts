import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/**
 * A way to the server that can be cut in mid-answer: what a lost network does. Chromium's own offline mode refuses new
 * requests, but lets an open stream go on.
 */
export class Wire {
  private readonly ends = new Set<Socket>();
  private readonly listener: Server;
  private isCut = false;

  private constructor(port: number) {
    this.listener = createServer((near) => {
      const far = connect(port, '127.0.0.1');
      for (const [end, other] of [[near, far], [far, near]] as const) {
        this.ends.add(end);
        end.on('error', () => end.destroy());
        end.on('close', () => {
          this.ends.delete(end);
          other.destroy();
        });
        end.pipe(other);
      }
      if (this.isCut) near.destroy();
    });
  }

  static async to(port: number): Promise<Wire> {
    const wire = new Wire(port);
    wire.listener.listen(0, '127.0.0.1');
    await once(wire.listener, 'listening');
    return wire;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.listener.address() as AddressInfo).port}`;
  }

  cut(): void {
    this.isCut = true;
    for (const end of this.ends) end.destroy();
  }

  mend(): void {
    this.isCut = false;
  }

  close(): void {
    this.listener.close();
    this.cut();
  }
}
