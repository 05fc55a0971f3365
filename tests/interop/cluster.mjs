// The services as processes on free ports, for the tests of this folder.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const PATIENCE_MS = 60_000;

export function testData(name) {
  return readFileSync(path.join(process.env.HISTEQ_TEST_DATA, name));
}

// Looks again until `happened()` gives something; throws when the patience runs out.
export async function until(what, happened) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const seen = await happened();
    if (seen) return seen;
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await delay(20);
  }
}

export class Cluster {
  folder = mkdtempSync(path.join(tmpdir(), 'histeq-interop-'));
  processes = [];

  // Starts a program and waits until it listens; returns its address.
  async start(name, program, args) {
    const portFile = path.join(this.folder, `${name}.port`);
    const log = openSync(path.join(this.folder, `${name}.log`), 'a');
    const child = spawn(path.join(process.env.HISTEQ_BIN, program),
        ['--port', '0', '--port-file', portFile, '--name', name, ...args], { stdio: ['ignore', log, log] });
    this.processes.push(child);
    const port = await until(`${name} listens`, () => {
      if (child.exitCode !== null) throw new Error(`${name} ended:\n${this.log(name)}`);
      return existsSync(portFile) && readFileSync(portFile, 'utf8').trim();
    });
    return `127.0.0.1:${port}`;
  }

  log(name) {
    return readFileSync(path.join(this.folder, `${name}.log`), 'utf8');
  }

  // A frontend and a coordinator with one worker; returns the frontend's address.
  async startAll({ workerArgs = [] } = {}) {
    const frontend = await this.start('frontend', 'histeq-frontend', ['--data-dir', path.join(this.folder, 'data'), '--file-root', this.folder]);
    const coordinator = await this.start('coordinator', 'histeq-coordinator',
        ['--frontend', frontend, '--scratch-dir', this.folder]);
    await this.start('worker', 'histeq-worker', ['--coordinators', coordinator, ...workerArgs]);
    return frontend;
  }

  async stop() {
    for (const child of this.processes.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    rmSync(this.folder, { recursive: true });
  }
}
