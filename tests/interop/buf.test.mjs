// The contracts through buf: lint, and a call by reflection.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Cluster, until } from './cluster.mjs';

const run = promisify(execFile);
const BUF = fileURLToPath(new URL('./node_modules/.bin/buf', import.meta.url));
const PROTO = fileURLToPath(new URL('../../proto', import.meta.url));

let cluster;
let address;

before(async () => {
  cluster = new Cluster();
  address = await cluster.startAll();
});
after(() => cluster.stop());

const curl = (method, request) => run(BUF, ['curl', '--protocol', 'grpc', '--http2-prior-knowledge',
  '-d', JSON.stringify(request), `http://${address}/histeq.v1.Frontend/${method}`], { timeout: 60_000 });

test('the contracts are lint-clean', async () => {
  const { stdout } = await run(BUF, ['lint', PROTO], { timeout: 60_000 });
  assert.equal(stdout, '');
});

test('the contracts build without protoc', async () => {
  await run(BUF, ['build', PROTO, '-o', '/dev/null'], { timeout: 60_000 });
});

test('buf curl calls a unary RPC', async () => {
  const nodes = await until('the coordinator is alive', async () => {
    const answer = JSON.parse((await curl('ListNodes', {})).stdout);
    return answer.coordinators?.[0]?.alive && answer;
  });
  assert.equal(nodes.coordinators[0].name, 'coordinator');
});

test('buf curl shows an error', async () => {
  await assert.rejects(curl('GetJob', { jobId: 'no-such-job' }), (error) => {
    const answer = JSON.parse(error.stderr);
    assert.equal(answer.code, 'not_found');
    return true;
  });
});
