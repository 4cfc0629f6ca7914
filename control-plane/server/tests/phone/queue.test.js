// The queue, the session and the steps of the drivers' page, against a small server. Run by `cargo test` (tests/it/phone.rs).
'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { MemoryStore, NoNetwork, Ended, Outbox, Session, TEXT, Track, businessTime, metres, stopsAfter, text } = require('../../assets/phone.js');
const { PIN, Server } = require('./server.js');

function storage() {
  const held = new Map();
  return { getItem: (key) => (held.has(key) ? held.get(key) : null), setItem: (key, value) => held.set(key, value), removeItem: (key) => held.delete(key) };
}

/// One at a time, as the browser's locks.
function locks() {
  let last = Promise.resolve();
  return (_, run) => (last = last.then(run, run));
}

function phoneOf(server, { now = () => 1000, store = new MemoryStore(), kept = storage(), locked = locks() } = {}) {
  const session = new Session({ storage: kept, fetch: server.fetch, locked, now });
  return { session, store, kept, outbox: new Outbox({ store, session }), track: new Track({ store: new MemoryStore(), session }) };
}

async function paired(server, options) {
  const phone = phoneOf(server, options);
  assert.equal((await phone.session.pair('c0de')).status, 200);
  return phone;
}

let minute = 0;
function report(type, more) {
  minute += 1;
  const id = type + '-' + minute;
  return { id, kind: 'report', body: { order: 'acme/o1', clientEventId: id, type, occurredAt: new Date(minute * 60000).toISOString(), driver: 'sam', ...more } };
}

/// A whole delivery, as the page puts it into the queue.
async function deliver(outbox, pin = PIN) {
  for (const type of ['depart', 'arrive', 'pickUp', 'arrive']) await outbox.add(report(type));
  await outbox.add({ id: 'photo-1', kind: 'proof', forOrder: 'acme/o1', type: 'photo', file: new Blob(['jpeg']) });
  await outbox.add(report('deliver', { proof: [{ type: 'photo', upload: 'photo-1' }, { type: 'pin', reference: pin }] }));
}

// ----------------------------------------------------------------------------------------------------------------- tests

test('a delivery goes through, on line step by step', async () => {
  const server = new Server();
  const { outbox } = await paired(server);
  await outbox.add({ id: 'availability', kind: 'availability', body: { availability: 'Available' } });
  for (const type of ['depart', 'arrive', 'pickUp', 'arrive']) {
    await outbox.add(report(type));
    assert.equal(await outbox.flush(), true);
  }
  await outbox.add({ id: 'photo-1', kind: 'proof', forOrder: 'acme/o1', type: 'photo', file: new Blob(['jpeg']) });
  await outbox.add(report('deliver', { proof: [{ type: 'photo', upload: 'photo-1' }, { type: 'pin', reference: PIN }] }));
  assert.equal(await outbox.flush(), true);
  assert.deepEqual([server.phase, server.availability], ['Delivered', 'Available']);
  assert.deepEqual(await outbox.store.all(), [], 'nothing is left behind');
});

test('a day without a network is one batch, in the order in which it happened, and ends the same', async () => {
  const server = new Server();
  const phone = await paired(server);
  server.fault = () => 'lost';
  await deliver(phone.outbox);
  await assert.rejects(phone.outbox.flush(), NoNetwork);
  assert.equal((await phone.outbox.items()).length, 6, 'all is kept');
  // The browser is closed and opened again.
  const again = phoneOf(server, { store: phone.store, kept: phone.kept });
  server.fault = () => null;
  server.calls = [];
  assert.equal(await again.outbox.flush(), true);
  assert.deepEqual(server.calls.map((call) => call.path), ['/v1/me/proofs', '/v1/me/events']);
  assert.deepEqual(server.applied.map((held) => held.type), ['depart', 'arrive', 'pickUp', 'arrive', 'deliver']);
  assert.equal(server.applied[4].proof[0].reference, 'prf_1');
  assert.equal(server.phase, 'Delivered');
});

test('whatever is lost on the way and whenever the page dies, each step counts once', async () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    let state = seed;
    const chance = () => (state = (state * 48271) % 2147483647) / 2147483647;
    const server = new Server();
    let phone = await paired(server);
    await deliver(phone.outbox);
    server.fault = () => (chance() < 0.3 ? 'lost' : chance() < 0.3 ? 'unanswered' : chance() < 0.2 ? 503 : null);
    for (let tries = 0; tries < 200 && (await phone.store.all()).length > 0; tries += 1) {
      try {
        await phone.outbox.flush();
      } catch (error) {
        assert.ok(error instanceof NoNetwork, String(error));
      }
      if (chance() < 0.3) phone = phoneOf(server, { store: phone.store, kept: phone.kept });
    }
    assert.equal(server.phase, 'Delivered', 'seed ' + seed);
    assert.equal(server.applied.length, 5, 'seed ' + seed);
    assert.equal(server.proofs.size, 1, 'seed ' + seed);
    assert.deepEqual(await phone.store.all(), [], 'seed ' + seed);
  }
});

test('what the server refuses is shown, and does not hold up the rest', async () => {
  const server = new Server();
  const { outbox } = await paired(server);
  await deliver(outbox, '000000');
  assert.equal(await outbox.flush(), true);
  const [refused, ...more] = await outbox.refused();
  assert.deepEqual([refused.body.type, refused.refused.status, more.length], ['deliver', 422, 0]);
  assert.match(refused.refused.why, /tries that are left: 4/);
  assert.equal(server.phase, 'AtDropoff');
  await outbox.dismiss(refused.id);
  assert.deepEqual(await outbox.store.all(), [], 'its picture goes with it');
});

test('a picture that the server refuses takes its report along, and nothing is sent without it', async () => {
  const server = new Server();
  const { outbox } = await paired(server);
  await deliver(outbox);
  server.fault = (call) => (call.path === '/v1/me/proofs' ? 415 : null);
  await outbox.flush();
  assert.deepEqual((await outbox.refused()).map((item) => item.kind).sort(), ['proof', 'report']);
  assert.equal(server.phase, 'AtDropoff');
});

test('while pictures cannot be taken, what shows none goes on, and nothing overtakes what waits', async () => {
  const server = new Server();
  const { outbox } = await paired(server);
  server.fault = ({ path }) => (path === '/v1/me/proofs' ? 503 : null);
  await deliver(outbox);
  await outbox.add(report('fail', { reason: 'after the handover' }));
  assert.equal(await outbox.flush(), false, 'something is left');
  assert.deepEqual(server.applied.map((held) => held.type), ['depart', 'arrive', 'pickUp', 'arrive']);
  server.fault = () => null;
  await outbox.flush();
  assert.equal(server.phase, 'Delivered');
});

test('a batch that is refused as a whole is halved until the one at fault is found', async () => {
  const server = new Server();
  const { outbox } = await paired(server);
  await deliver(outbox);
  server.fault = (call) => (call.path === '/v1/me/events' && call.body.reports.some((held) => held.type === 'pickUp') ? 400 : null);
  await outbox.flush();
  const refused = await outbox.refused();
  assert.ok(refused.some((item) => item.body.type === 'pickUp' && item.refused.status === 400));
  assert.deepEqual(server.applied.map((held) => held.type), ['depart', 'arrive']);
});

test('more than five hundred reports go in several batches', async () => {
  const server = new Server();
  const { outbox } = await paired(server);
  for (let count = 0; count < 1201; count += 1) await outbox.store.put({ ...report('depart'), driver: 'acme/sam', order: count });
  await outbox.flush();
  assert.deepEqual(server.calls.slice(1).map((call) => call.body.reports.length), [500, 500, 201]);
});

test('two flushes at once send once', async () => {
  const server = new Server();
  const { outbox } = await paired(server);
  await outbox.add(report('depart'));
  await Promise.all([outbox.flush(), outbox.flush(), outbox.flush()]);
  assert.equal(server.calls.filter((call) => call.path === '/v1/me/events').length, 1);
});

test('what is done while a batch is under way goes with the same flush', async () => {
  const server = new Server();
  const { outbox } = await paired(server);
  await outbox.add({ id: 'availability', kind: 'availability', body: { availability: 'Available' } });
  await outbox.add(report('depart'));
  let calls = 0;
  const say = (availability) => outbox.add({ id: availability, kind: 'availability', body: { availability } });
  server.fault = (call) => {
    calls += 1;
    if (calls === 1) say('Offline').then(() => say('OnBreak'));
    if (calls === 2) outbox.add(report('arrive'));
    return null;
  };
  assert.equal(await outbox.flush(), true);
  assert.deepEqual([server.phase, server.availability], ['AtPickup', 'OnBreak']);
});

test('an old token is renewed once, however many ask and in however many tabs', async () => {
  const server = new Server();
  let time = 1000;
  const options = { now: () => time, locked: locks() };
  const one = await paired(server, options);
  const other = phoneOf(server, { ...options, kept: one.kept });
  time += 900000;
  const ask = (phone) => phone.session.call('GET', '/v1/me/route');
  const answers = await Promise.all([ask(one), ask(other), ask(one), ask(other)]);
  assert.ok(answers.every((answer) => answer.status === 200));
  assert.equal(server.refreshes, 1);
});

test('a token that the server takes no more is renewed, and the call is made again', async () => {
  const server = new Server();
  const { session } = await paired(server);
  server.access = 'a-other';
  assert.equal((await session.call('GET', '/v1/me/route')).status, 200);
  assert.equal(server.refreshes, 1);
});

test('when the session has ended, the queue stays for whoever pairs the phone again, if it is the same driver', async () => {
  const server = new Server();
  const phone = await paired(server);
  await phone.outbox.add(report('depart'));
  Object.assign(server, { access: 'x', refresh: 'x' });
  await assert.rejects(phone.outbox.flush(), Ended);
  assert.equal(phone.session.held, null);
  assert.equal((await phone.outbox.others()).length, 1, 'kept');
  Object.assign(server, { code: 'c0de', refresh: 'r9', access: 'a9' });
  await phone.session.pair('c0de');
  assert.equal(await phone.outbox.flush(), true);
  assert.equal(server.phase, 'EnRouteToPickup');
  // Another driver on the same phone sends nothing of this one's.
  await phone.outbox.add(report('arrive'));
  phone.kept.setItem('dropmate.session', JSON.stringify({ ...phone.session.held, driver: 'kim' }));
  assert.equal(await phone.outbox.flush(), true);
  assert.equal(server.phase, 'EnRouteToPickup');
  assert.equal((await phone.outbox.others()).length, 1);
});

test('while the server cannot be reached a session does not end', async () => {
  const server = new Server();
  let time = 1000;
  const { session } = await paired(server, { now: () => time });
  time += 900000;
  for (const fault of ['lost', 503, 429]) {
    server.fault = () => fault;
    await assert.rejects(session.call('GET', '/v1/me/route'), NoNetwork);
    assert.notEqual(session.held, null);
  }
});

test('a wrong code changes nothing', async () => {
  const server = new Server();
  const { session } = await paired(server);
  assert.equal((await session.pair('wrong')).status, 410);
  assert.equal(session.driver, 'acme/sam');
});

test('an incident goes with its picture, and without it if the server wants none', async () => {
  const server = new Server();
  const { outbox } = await paired(server);
  const incident = (id, upload) => ({ id, kind: 'incident', upload, body: { category: 'Damaged', note: 'wet', order: 'acme/o1', clientEventId: id } });
  await outbox.add({ id: 'p1', kind: 'proof', forOrder: 'acme/o1', type: 'photo', file: new Blob(['jpeg']) });
  await outbox.add(incident('i1', 'p1'));
  assert.equal(await outbox.flush(), true);
  assert.equal(server.incidents.get('i1').photoId, 'prf_1');
  assert.deepEqual(await outbox.store.all(), []);
});

test('positions are thinned, kept in a bounded number, and sent a thousand at a time', async () => {
  const server = new Server();
  const { track } = await paired(server);
  const fix = (latitude) => ({ at: '2026-01-01T00:00:00Z', latitude, longitude: 0 });
  assert.equal(await track.add(fix(1), 0), true);
  assert.equal(await track.add(fix(1.00001), 1000), false, 'a metre further a second later says nothing');
  assert.equal(await track.add(fix(1.001), 2000), true, 'a hundred metres do');
  assert.equal(await track.add(fix(1.001), 20000), true, 'and so does standing still for a while');
  for (let count = 0; count < 5010; count += 1) await track.store.put({ id: 'fix-' + (count + 4), order: count + 4, driver: 'acme/sam', fix: fix(count) });
  track.last = null;
  await track.add(fix(9), 30000);
  assert.equal((await track.store.all()).length, 5000);
  assert.equal(await track.flush(), true);
  assert.deepEqual([server.positions.length, server.positions[4999].latitude], [5000, 9]);
});

test('the steps go on without a network as they would with one', () => {
  const route = [
    { order: 'acme/o1', kind: 'pickup', legalNext: ['depart', 'arrive', 'pickUp', 'expire'] },
    { order: 'acme/o2', kind: 'dropoff', legalNext: ['deliver', 'fail'] },
    { order: 'acme/o1', kind: 'dropoff', legalNext: [] },
  ];
  const after = (...types) => stopsAfter(route, types.map((type, index) => ({ order: 'acme/o1', type, occurredAt: new Date(index * 1000).toISOString() })))
    .filter((stop) => stop.order === 'acme/o1').map((stop) => stop.kind + ':' + stop.legalNext.join(','));
  assert.deepEqual(after(), ['pickup:depart,arrive,pickUp', 'dropoff:'], 'only a driver’s steps');
  assert.deepEqual(after('depart'), ['pickup:arrive,pickUp', 'dropoff:']);
  assert.deepEqual(after('depart', 'arrive'), ['pickup:pickUp,fail', 'dropoff:']);
  assert.deepEqual(after('depart', 'arrive', 'pickUp'), ['dropoff:depart,arrive,deliver,fail']);
  assert.deepEqual(after('pickUp', 'arrive'), ['dropoff:deliver,fail']);
  assert.deepEqual(after('pickUp', 'deliver'), []);
  assert.deepEqual(after('depart', 'fail'), []);
  assert.equal(stopsAfter(route, []).length, 3, 'the route itself is not changed');
});

test('times are the server’s business times', () => {
  const clock = { businessMs: Date.parse('2026-01-01T08:00:00Z'), takenMs: 5000, speed: 60 };
  assert.equal(businessTime(clock, 6000), '2026-01-01T08:01:00.000Z');
  assert.equal(businessTime(null, 0), '1970-01-01T00:00:00.000Z');
  assert.ok(Math.abs(metres({ latitude: 43, longitude: -79 }, { latitude: 43, longitude: -79.001 }) - 81.4) < 1);
});

test('every text has its places filled, and no key is missing', () => {
  assert.equal(text('waiting', { count: 3 }), '3 to send');
  const source = require('node:fs').readFileSync(require.resolve('../../assets/phone.js'), 'utf8');
  const used = [...source.matchAll(/\btext\('(\w+)'/g)].map((found) => found[1]);
  assert.ok(used.length > 30);
  for (const key of used) assert.ok(TEXT.en[key], key);
});
