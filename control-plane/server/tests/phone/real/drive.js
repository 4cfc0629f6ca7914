// Drives the page's own session and queue against a real server: `node drive.js`, told by the environment. Prints what is
// left in the queue, as JSON. Run by tests/it/phone.rs.
'use strict';
const { MemoryStore, Outbox, Session, Track } = require('../../../assets/phone.js');

const { SERVER, GRANTED, CODE, ORDER, PIN, NOW, STEPS } = process.env;
// A black PNG of one pixel.
const PICTURE = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==';

async function main() {
  const held = new Map();
  const storage = { getItem: (key) => held.get(key) ?? null, setItem: (key, value) => held.set(key, value), removeItem: (key) => held.delete(key) };
  const session = new Session({ storage, fetch: (path, init) => fetch(SERVER + path, init), locked: (_, run) => run(), now: () => 0 });
  if (CODE) {
    const paired = await session.pair(CODE);
    if (paired.status !== 200) throw new Error('pair: ' + JSON.stringify(paired));
  } else {
    session.keep(JSON.parse(GRANTED), { namespace: 'acme', driver: 'sam' });
  }
  const outbox = new Outbox({ store: new MemoryStore(), session });
  const track = new Track({ store: new MemoryStore(), session });
  const steps = (STEPS || '').split(',').filter(Boolean);
  if (steps.length > 0) {
    await outbox.add({ id: 'availability', kind: 'availability', body: { availability: 'Available' } });
    await track.add({ at: NOW, latitude: 43.65, longitude: -79.36 }, 0);
  }
  await outbox.add({ id: 'photo-1', kind: 'proof', forOrder: ORDER, type: 'photo', file: new Blob([Buffer.from(PICTURE, 'base64')]) });
  for (const [index, type] of steps.entries()) {
    const body = { order: ORDER, clientEventId: type + '-' + index, type, occurredAt: new Date(Date.parse(NOW) + index).toISOString(), driver: 'sam' };
    if (type === 'deliver') body.proof = [{ type: 'photo', upload: 'photo-1' }, { type: 'pin', reference: PIN }];
    await outbox.add({ id: body.clientEventId, kind: 'report', body });
  }
  await outbox.add({ id: 'i-1', kind: 'incident', body: { category: 'Damaged', note: 'A scratch.', order: ORDER, clientEventId: 'i-1' } });
  await outbox.flush();
  if (steps.length > 0) await track.flush();
  console.log(JSON.stringify(await outbox.items(), (key, value) => (key === 'file' ? undefined : value)));
}

main();
