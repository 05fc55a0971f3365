// The README's grpcurl recipes do what they say. buf curl stands in for grpcurl, which is no npm package.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Cluster, testData } from './cluster.mjs';

const run = promisify(execFile);
const file = (name) => fileURLToPath(new URL(name, import.meta.url));

// grpcurl -plaintext [-d DATA|@] ADDRESS SERVICE/METHOD, in buf's words; keeps what it answered for the test.
const GRPCURL = `#!/usr/bin/env bash
set -uo pipefail
[ "$1" = -plaintext ] || exit 2
shift
data='{}'
if [ "$1" = -d ]; then data=$2; shift 2; fi
[ "$data" != @ ] || data=@-
method=\${2##*/}
'${file('node_modules/.bin/buf')}' curl --protocol grpc --http2-prior-knowledge -d "$data" "http://$1/$2" 2>"$ANSWERS/$method.err" |
  tee "$ANSWERS/$method.out"
`;

function recipes() {
  const readme = readFileSync(file('../../README.md'), 'utf8');
  const begin = readme.indexOf('<!-- recipes');
  assert.ok(begin >= 0);
  return readme.slice(begin).match(/```sh\n([\s\S]*?)```/)[1];
}

let cluster;
let address;

before(async () => {
  cluster = new Cluster();
  address = await cluster.startAll();
});
after(() => cluster.stop());

test('the recipes of the README', async () => {
  const folder = cluster.folder;
  writeFileSync(path.join(folder, 'photo.jpg'), testData('retina.jpg'));
  writeFileSync(path.join(folder, 'grpcurl'), GRPCURL);
  chmodSync(path.join(folder, 'grpcurl'), 0o755);
  const script = recipes();
  assert.match(script, /^SERVER=127\.0\.0\.1:7070$/m);
  await run('bash', ['-c', `${script.replace(/^SERVER=.*$/m, `SERVER=${address}`)}\ntrue`], {
    cwd: folder,
    env: { ...process.env, PATH: `${folder}:${process.env.PATH}`, ANSWERS: folder },
    timeout: 120_000,
    maxBuffer: 64 << 20,
  });

  const answered = (method) => readFileSync(path.join(folder, `${method}.out`), 'utf8');
  const refused = (method) => JSON.parse(readFileSync(path.join(folder, `${method}.err`), 'utf8')).code;
  // Each recipe of the README was run, and its call answered as the README says.
  const refusals = { GetUpload: 'not_found' };
  for (const [, method] of script.matchAll(/histeq\.v1\.Frontend\/(\w+)/g)) {
    if (method in refusals) {
      assert.equal(refused(method), refusals[method]);
    } else {
      assert.notEqual(answered(method).trim(), '', `${method}: ${readFileSync(path.join(folder, `${method}.err`), 'utf8')}`);
    }
  }
  assert.match(answered('WatchJob'), /JOB_STATE_SUCCEEDED/);
  assert.equal(JSON.parse(answered('GetJob')).job.state, 'JOB_STATE_SUCCEEDED');
  assert.match(answered('CreateJob'), /METHOD_CLAHE/);
  assert.ok(readFileSync(path.join(folder, 'copy.jpg')).equals(testData('retina.jpg')));
});
