// What the driver sees and does, in as much of a browser as the page needs: elements, a place to keep things, a position.
// Run by `cargo test` (tests/it/phone.rs).
'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const vm = require('node:vm');
const { PIN, Server } = require('./server.js');

const SCRIPT = readFileSync(require.resolve('../../assets/phone.js'), 'utf8');

class Element {
  constructor(name) {
    Object.assign(this, { name, attributes: {}, children: [], listeners: {}, dataset: {}, value: '', files: [], open: false });
  }
  get id() { return this.attributes.id; }
  get textContent() { return this.children.map((child) => (typeof child === 'string' ? child : child.textContent)).join(' '); }
  set textContent(words) { this.children = [words]; }
  append(...children) { this.children.push(...children); }
  replaceChildren(...children) { this.children = children; }
  setAttribute(key, value) {
    this.attributes[key] = value;
    if (this.name === 'option' && key === 'value') this.value = value;
  }
  addEventListener(type, run) { this.listeners[type] = run; }
  matches(name) { return this.name === name; }
  contains(other) { return this === other || this.children.some((child) => child instanceof Element && child.contains(other)); }
  focus() {}
  blur() {}
  showModal() { this.open = true; }
  close() { this.open = false; }
  getContext() { return { beginPath() {}, moveTo() {}, lineTo() {}, stroke() {}, clearRect() {}, fillText() {}, drawImage() {} }; }
  toBlob(done, type) { done(new Blob(['pixels'], { type })); }
  all() { return [this, ...this.children.filter((child) => child instanceof Element).flatMap((child) => child.all())]; }
}

/// A phone with the page open.
class Phone {
  constructor(server, { hash = '', kept = new Map() } = {}) {
    Object.assign(this, { server, kept, windowListeners: {}, fixes: null });
    this.elements = Object.fromEntries(['who', 'state', 'main', 'dialog'].map((id) => [id, Object.assign(new Element('div'), { attributes: { id } })]));
    const find = (id) => this.elements[id] || Object.values(this.elements).flatMap((element) => element.all()).find((element) => element.id === id) || null;
    this.location = { hash, pathname: '/d' };
    const quiet = (run, ms) => { const timer = setTimeout(run, ms); timer.unref(); return timer; };
    const context = {
      document: {
        documentElement: { lang: 'en' }, hidden: false, activeElement: null, getElementById: find, addEventListener() {},
        createElement: (name) => new Element(name), querySelector: () => ({ dataset: { version: '1' } }),
      },
      window: { addEventListener: (type, run) => { this.windowListeners[type] = run; } },
      navigator: { geolocation: { watchPosition: (fix) => { this.fixes = fix; return 1; }, clearWatch: () => { this.fixes = null; } } },
      localStorage: { getItem: (key) => (kept.has(key) ? kept.get(key) : null), setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) },
      history: { replaceState: () => { this.location.hash = ''; } },
      location: this.location, fetch: server.fetch, confirm: () => true, crypto: globalThis.crypto, setTimeout: quiet, clearTimeout,
      AbortController, FormData, Blob, URLSearchParams, console,
      createImageBitmap: async () => ({ width: 4000, height: 3000, close() {} }),
    };
    vm.runInContext(SCRIPT, vm.createContext(context));
  }

  /// Waits until something holds.
  async until(what, holds) {
    for (let tries = 0; tries < 400; tries += 1) {
      if (holds()) return;
      await new Promise((done) => setTimeout(done, 5));
    }
    assert.fail(what + '; the page says: ' + this.words());
  }

  words() { return Object.values(this.elements).map((element) => element.textContent).join(' | '); }

  button(words) {
    const found = Object.values(this.elements).flatMap((element) => element.all());
    return found.find((element) => element.name === 'button' && element.textContent === words);
  }

  async press(words) {
    await this.until('no button ' + words, () => this.button(words));
    this.button(words).listeners.click();
  }

  field(id) { return this.elements.dialog.all().find((element) => element.id === id); }

  /// Presses the dialog's own button.
  async done() {
    const form = this.elements.dialog.all().find((element) => element.name === 'form');
    await form.listeners.submit({ preventDefault() {}, submitter: null });
  }
}

const PHOTO = Object.assign(new Blob(['jpeg']), { name: 'door.jpg' });

test('from the link to the door: paired, on duty, step by step, with photo and PIN', async () => {
  const server = new Server();
  const phone = new Phone(server, { hash: '#pair=c0de' });
  await phone.until('paired', () => phone.words().includes('12 Mill') || phone.words().includes('Mill St'));
  assert.equal(phone.location.hash, '', 'the code has left the address bar');
  assert.equal(phone.elements.who.textContent, 'sam');
  assert.ok(phone.words().includes('<b>12</b> Mill St'), 'a text is a text');
  await phone.press('On duty');
  await phone.until('on duty', () => server.availability === 'Available');
  phone.fixes({ coords: { latitude: 43.65, longitude: -79.36, accuracy: 8, speed: null, heading: NaN } });
  for (const [words, phase] of [['Set out', 'EnRouteToPickup'], ['I am there', 'AtPickup'], ['Picked up', 'OutForDelivery'], ['I am there', 'AtDropoff']]) {
    await phone.press(words);
    await phone.until(phase, () => server.phase === phase);
  }
  await phone.press('Delivered');
  await phone.done();
  assert.ok(phone.elements.dialog.textContent.includes('Something is missing: Photo'), phone.words());
  phone.field('photo').files = [PHOTO];
  phone.field('pin').value = '12345';
  await phone.done();
  assert.ok(phone.elements.dialog.textContent.includes('Something is missing: PIN'), phone.words());
  phone.field('pin').value = PIN;
  await phone.done();
  await phone.until('delivered', () => server.phase === 'Delivered' && phone.words().includes('No stops for now'));
  assert.equal(phone.elements.dialog.open, false);
  const delivered = server.applied.at(-1);
  assert.equal(delivered.location.latitude, 43.65);
  assert.ok(delivered.occurredAt.startsWith('2026-01-01T08:0'), 'business time: ' + delivered.occurredAt);
  assert.deepEqual(server.positions.map((fix) => Object.keys(fix).sort().join()), ['accuracyMeters,at,latitude,longitude']);
});

test('without a network the page goes on, and says what waits', async () => {
  const server = new Server();
  const phone = new Phone(server, { hash: '#pair=c0de' });
  await phone.press('Set out');
  await phone.until('set out', () => server.phase === 'EnRouteToPickup');
  await phone.until('all sent', () => phone.words().includes('stay online'));
  server.fault = () => 'lost';
  await phone.press('I am there');
  await phone.until('offline', () => phone.words().includes('No network') && phone.words().includes('1 to send'));
  await phone.press('Picked up');
  await phone.until('two wait', () => phone.words().includes('2 to send'));
  await phone.until('the next stop', () => phone.button('Could not be done') && phone.button('Delivered'));
  server.fault = () => null;
  phone.windowListeners.online();
  await phone.until('sent', () => server.phase === 'OutForDelivery');
});

test('a wrong PIN is told, and the driver tries again', async () => {
  const server = new Server();
  server.phase = 'AtDropoff';
  const phone = new Phone(server, { hash: '#pair=c0de' });
  for (const pin of ['000000', PIN]) {
    await phone.press('Delivered');
    phone.field('photo').files = [PHOTO];
    phone.field('pin').value = pin;
    await phone.done();
    if (pin !== PIN) {
      await phone.until('told', () => phone.words().includes('Delivered (o1) was not accepted: the PIN is wrong; tries that are left: 4'));
      await phone.press('Dismiss');
      await phone.until('dismissed', () => !phone.words().includes('not accepted'));
    }
  }
  await phone.until('delivered', () => server.phase === 'Delivered');
});

test('what could not be done has a reason, and an incident a note', async () => {
  const server = new Server();
  server.phase = 'AtDropoff';
  const phone = new Phone(server, { hash: '#pair=c0de' });
  await phone.press('Tell of an incident');
  phone.field('category').value = 'Damaged';
  await phone.done();
  assert.ok(phone.elements.dialog.textContent.includes('Something is missing: Note'), phone.words());
  phone.field('note').value = 'The box is wet.';
  await phone.done();
  await phone.until('told', () => server.incidents.size === 1);
  assert.equal([...server.incidents.values()][0].order, 'acme/o1');
  await phone.press('Could not be done');
  phone.field('reason').value = 'nobodyHome';
  await phone.done();
  await phone.until('failed', () => server.phase === 'AttemptFailed');
  assert.equal(server.applied.at(-1).reason, 'nobodyHome');
});

test('a phone that is not paired asks for a code, and a wrong one is told', async () => {
  const server = new Server();
  const phone = new Phone(server, { hash: '#pair=wrong' });
  await phone.until('told', () => phone.words().includes('The code is wrong') && phone.button('Connect'));
  phone.elements.main.all().find((element) => element.id === 'code').value = ' c0de ';
  phone.elements.main.all().find((element) => element.name === 'form').listeners.submit({ preventDefault() {} });
  await phone.until('paired', () => phone.button('On duty'));
  await phone.press('Disconnect this phone');
  await phone.until('asks again', () => phone.button('Connect'));
  assert.deepEqual([...phone.kept.keys()], [], 'nothing of the driver stays');
});

test('a session that was ended elsewhere is told', async () => {
  const server = new Server();
  const phone = new Phone(server, { hash: '#pair=c0de' });
  await phone.until('paired', () => phone.button('Set out'));
  Object.assign(server, { access: 'x', refresh: 'x' });
  await phone.press('Set out');
  await phone.until('told', () => phone.words().includes('no longer connected') && phone.button('Connect'));
});
