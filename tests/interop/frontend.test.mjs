// A client that knows nothing of histeq but its address and the names of its services.
import grpc from '@grpc/grpc-js';
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Cluster, testData } from './cluster.mjs';
import { clientOf, errorInfoOf, listServices } from './reflection.mjs';

const CHUNK_BYTES = 64 * 1024;
const SLOW_MS = 3500;

let cluster;
let address;
let frontend;

before(async () => {
  cluster = new Cluster();
  address = await cluster.startAll({ workerArgs: ['--test-segment-delay-ms', String(SLOW_MS)] });
  frontend = await clientOf(address, 'histeq.v1.Frontend');
});
after(async () => {
  frontend?.close();
  await cluster.stop();
});

const deadline = () => ({ deadline: Date.now() + 60_000 });

function unary(method, request) {
  return new Promise((resolve, reject) => {
    frontend[method](request, deadline(), (error, response) => (error ? reject(error) : resolve(response)));
  });
}

function upload(header, bytes) {
  return new Promise((resolve, reject) => {
    const call = frontend.uploadImage(deadline(), (error, response) => (error ? reject(error) : resolve(response)));
    call.write({ header: { upload_id: randomUUID(), ...header } });
    for (let offset = 0; offset < bytes.length; offset += CHUNK_BYTES) {
      call.write({ chunk: { offset, data: bytes.subarray(offset, offset + CHUNK_BYTES) } });
    }
    call.write({ finish: { sha256: createHash('sha256').update(bytes).digest() } });
    call.end();
  });
}

// All messages of a server stream.
function collect(call) {
  return new Promise((resolve, reject) => {
    const messages = [];
    call.on('data', (message) => messages.push(message));
    call.on('error', reject);
    call.on('end', () => resolve(messages));
  });
}

const bytesOf = (messages) => Buffer.concat(messages.filter((m) => m.chunk).map((m) => m.chunk.data));
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

test('reflection lists the services', async () => {
  const services = await listServices(address);
  for (const name of ['histeq.v1.Frontend', 'histeq.v1.JobQueue', 'grpc.health.v1.Health']) {
    assert.ok(services.includes(name), `${name} among ${services}`);
  }
});

test('uploads, watches with pings, and receives the result', async () => {
  const file = testData('moon.png');
  const { image, job } = await upload({ name: 'moon.png', operation: { equalize: {} } }, file);
  assert.equal(Buffer.from(image.sha256).toString('hex'), sha256(file));
  assert.equal(image.width, 512);

  const messages = await collect(frontend.watchJob(
      { job_id: job.id, ping_interval: { seconds: 1, nanos: 0 }, send_result: true }, deadline()));
  assert.equal(messages[0].event, 'job');
  // Nothing happens for SLOW_MS while the worker waits: a ping each second.
  const pings = messages.filter((message) => message.event === 'ping');
  assert.ok(pings.length >= 2, `${pings.length} pings`);
  const states = messages.filter((message) => message.event === 'job').map((message) => message.job.state);
  assert.equal(states.at(-1), 'JOB_STATE_SUCCEEDED');
  const result = messages.find((message) => message.event === 'result').result;
  assert.equal(result.name, 'moon_EQUALIZED.png');
  assert.equal(result.tag, 'EQUALIZED');
  const received = bytesOf(messages);
  assert.equal(sha256(received), Buffer.from(result.sha256).toString('hex'));

  const downloaded = await collect(frontend.downloadImage({ image_id: result.id }, deadline()));
  assert.ok(bytesOf(downloaded).equals(received));
  const part = await collect(frontend.downloadImage({ image_id: result.id, offset: 1000, limit: 5000 }, deadline()));
  assert.ok(bytesOf(part).equals(received.subarray(1000, 6000)));

  // From an offset on, as after a broken connection.
  const rest = await collect(frontend.watchJob({ job_id: job.id, send_result: true, result_offset: 3000 }, deadline()));
  assert.ok(bytesOf(rest).equals(received.subarray(3000)));
});

test('errors carry a code and a reason', async () => {
  await assert.rejects(unary('getImage', { image_id: 'no-such-image' }), (error) => {
    assert.equal(error.code, grpc.status.NOT_FOUND);
    assert.equal(errorInfoOf(error).reason, 'IMAGE_NOT_FOUND');
    assert.equal(errorInfoOf(error).domain, 'histeq');
    return true;
  });
  await assert.rejects(upload({ name: 'words.txt' }, Buffer.from('these are words, and no image at all\n')), (error) => {
    assert.equal(error.code, grpc.status.INVALID_ARGUMENT);
    assert.equal(errorInfoOf(error).reason, 'NOT_AN_IMAGE');
    return true;
  });
});

test('lists images and nodes', async () => {
  const { images } = await unary('listImages', { page_size: 10 });
  assert.deepEqual(images.map((image) => image.name).sort(), ['moon.png', 'moon_EQUALIZED.png']);
  const { coordinators } = await unary('listNodes', {});
  assert.equal(coordinators.length, 1);
  assert.equal(coordinators[0].alive, true);
  assert.deepEqual(coordinators[0].workers.map((worker) => worker.name), ['worker']);
});
