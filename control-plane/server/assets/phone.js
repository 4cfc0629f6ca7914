// The driver's page. What is decided (the queue, the session, the steps that can follow) knows no browser, and is tested
// with node; below it is what the driver sees.
'use strict';

// ---------------------------------------------------------------------------------------------------------------- texts

const TEXT = {
  en: {
    accept: 'Accept', decline: 'Decline', depart: 'Set out', arrive: 'I am there', pickUp: 'Picked up', deliver: 'Delivered',
    fail: 'Could not be done', startReturn: 'Bring it back', returned: 'Brought back',
    Available: 'On duty', OnBreak: 'On a break', Offline: 'Off duty', availability: 'Are you working?',
    pickup: 'Pick up', dropoff: 'Deliver', map: 'Map', call: 'Call', incident: 'Tell of an incident',
    nothing: 'No stops for now. New ones appear here.', until: 'by {at}', from: 'from {at}', eta: 'expected {at}',
    offline: 'No network. What you do is kept and sent later.', waiting: '{count} to send', sent: 'All is sent.',
    sending: 'Sending …', pairing: 'Connecting this phone …', paired: 'This phone is connected.',
    unpaired: 'This phone is not connected. Ask for a code and open its link, or type it here.',
    ended: 'This phone is no longer connected. What is not sent stays here; open a new link to send it.',
    code: 'Code', connect: 'Connect', badCode: 'The code is wrong, used or too old. Ask for another one.',
    later: 'It did not work. Try again when there is a network.', photo: 'Photo', signature: 'Signature', pin: 'PIN of the recipient',
    barcode: 'Code on the parcel', signName: 'or type the name', clear: 'Clear', done: 'Done', cancel: 'Cancel', close: 'Dismiss',
    required: 'Something is missing: {what}', reason: 'Why?', note: 'Note', category: 'What happened?',
    noPicture: 'The picture cannot be read. Take another one.', refused: '{what} was not accepted: {why}',
    others: '{count} of another driver wait on this phone; they are not sent as yours.', discard: 'Discard them',
    leave: 'Disconnect this phone', leaveSure: 'Not everything is sent. Disconnect and lose it?', noStore: 'This browser keeps nothing: stay online.',
    noLocation: 'Your position is not known. Allow it in the browser’s settings.',
    nobodyHome: 'Nobody there', refusedByRecipient: 'Refused', wrongAddress: 'Address is wrong', closed: 'Closed', damaged: 'Damaged', other: 'Something else',
    Damaged: 'Goods are damaged', Missing: 'Goods are missing', Accident: 'Accident', Vehicle: 'Trouble with the vehicle', Other: 'Something else',
  },
};

function text(key, values) {
  const language = typeof document === 'undefined' ? 'en' : document.documentElement.lang;
  const words = (TEXT[language] || TEXT.en)[key] || TEXT.en[key] || key;
  return words.replace(/\{(\w+)\}/g, (_, name) => String((values || {})[name]));
}

// --------------------------------------------------------------------------------------------------------------- bounds

const REPORTS_AT_ONCE = 500; // As many as the server takes.
const POSITIONS_AT_ONCE = 1000; // As many as the server takes.
const POSITIONS_KEPT = 5000; // A day without a network at one each fifteen seconds; then the oldest go.
const CALL_MS = 30000;
const UPLOAD_MS = 150000; // As long as the server reads one.
const REFRESH_BEFORE_MS = 30000;
const PHOTO_SIDE = 1600; // A house number can be read, and it goes over a bad line in seconds.
const FILE_MOST = 10 * 1024 * 1024;
const SYNC_MS = 15000;
const PAUSE_MOST_MS = 60000;
const FIX_EVERY_MS = 15000;
const FIX_EVERY_METRES = 20;

// ------------------------------------------------------------------------------------------------------------ the steps

const DRIVERS_STEPS = ['accept', 'decline', 'depart', 'arrive', 'pickUp', 'deliver', 'fail', 'startReturn', 'returned'];

const AFTER = {
  depart: { pickup: ['arrive', 'pickUp'], dropoff: ['arrive', 'deliver', 'fail'] },
  arrive: { pickup: ['pickUp', 'fail'], dropoff: ['deliver', 'fail'] },
  startReturn: { pickup: ['returned'], dropoff: ['returned'] },
};

const FETCHED = ['depart', 'arrive', 'deliver', 'fail'];

/// The stops as they will be once the reports that wait have been taken in: so the driver goes on without a network.
function stopsAfter(stops, reports) {
  const left = stops.map((stop) => ({ ...stop, legalNext: (stop.legalNext || []).filter((step) => DRIVERS_STEPS.includes(step)) }));
  const inOrder = [...reports].sort((a, b) => Date.parse(a.occurredAt) - Date.parse(b.occurredAt));
  for (const report of inOrder) {
    const at = left.findIndex((stop) => stop.order === report.order);
    if (at < 0) continue;
    const stop = left[at];
    const next = AFTER[report.type] && AFTER[report.type][stop.kind];
    if (next) {
      stop.legalNext = next;
    } else if (report.type === 'accept') {
      stop.legalNext = [];
    } else if (report.type === 'pickUp') {
      left.splice(at, 1);
      const dropoff = left.find((other) => other.order === report.order && other.kind === 'dropoff');
      if (dropoff) dropoff.legalNext = FETCHED;
    } else {
      // Delivered, failed, declined, brought back: what follows is the server's to say.
      for (let index = left.length - 1; index >= 0; index -= 1) {
        if (left[index].order === report.order) left.splice(index, 1);
      }
    }
  }
  // Of an order, only the first stop can go on.
  const seen = new Set();
  for (const stop of left) {
    if (seen.has(stop.order)) stop.legalNext = [];
    seen.add(stop.order);
  }
  return left;
}

/// Business time, as the server counts it: clocks of phones are wrong, and a demonstration's runs fast.
function businessTime(clock, nowMs) {
  const at = clock ? clock.businessMs + (nowMs - clock.takenMs) * clock.speed : nowMs;
  return new Date(at).toISOString();
}

/// Whether sending the same again may help.
function isPassing(status) {
  return status === 401 || status === 408 || status === 425 || status === 429 || status >= 500;
}

/// Metres between two places, near enough for a few streets.
function metres(a, b) {
  const north = (b.latitude - a.latitude) * 111320;
  const east = (b.longitude - a.longitude) * 111320 * Math.cos((a.latitude * Math.PI) / 180);
  return Math.hypot(north, east);
}

// ---------------------------------------------------------------------------------------------------------- the session

class Ended extends Error {}
class NoNetwork extends Error {}

/// Who this phone is to the server, and calls as that. `storage` is like localStorage; `locked(name, run)` runs one at a
/// time over all tabs, since a refresh token is good once.
class Session {
  constructor({ storage, fetch, locked, now }) {
    Object.assign(this, { storage, fetch, locked, now });
  }

  get held() {
    return JSON.parse(this.storage.getItem('dropmate.session') || 'null');
  }

  get driver() {
    const held = this.held;
    return held ? held.namespace + '/' + held.driver : null;
  }

  keep(granted, before) {
    const held = {
      namespace: granted.namespace || before.namespace,
      driver: granted.driver || before.driver,
      accessToken: granted.accessToken,
      refreshToken: granted.refreshToken,
      goodUntil: this.now() + granted.expiresIn * 1000,
    };
    this.storage.setItem('dropmate.session', JSON.stringify(held));
    return held;
  }

  /// Redeems a code. What the phone was before stays if that fails.
  async pair(code) {
    const answer = await this.send('POST', '/v1/pair', { code });
    if (answer.status === 200) this.keep(answer.body, {});
    return answer;
  }

  forget() {
    this.storage.removeItem('dropmate.session');
  }

  async token(spent) {
    const good = (held) => held && held.accessToken !== spent && held.goodUntil - REFRESH_BEFORE_MS > this.now();
    if (!this.held) throw new Ended();
    if (good(this.held)) return this.held.accessToken;
    return this.locked('dropmate.session', async () => {
      const held = this.held;
      if (!held) throw new Ended();
      // Another tab was faster.
      if (good(held)) return held.accessToken;
      const answer = await this.send('POST', '/v1/auth/refresh', { refreshToken: held.refreshToken });
      if (answer.status === 200) return this.keep(answer.body, held).accessToken;
      if (answer.status >= 400 && !isPassing(answer.status === 401 ? 400 : answer.status)) {
        this.forget();
        throw new Ended();
      }
      throw new NoNetwork();
    });
  }

  /// A call as this driver: `{status, body, headers}`. Throws NoNetwork, or Ended once the phone is no longer paired.
  async call(method, path, body, headers) {
    let token = await this.token();
    let answer = await this.send(method, path, body, { ...headers, authorization: 'Bearer ' + token });
    if (answer.status === 401) {
      token = await this.token(token);
      answer = await this.send(method, path, body, { ...headers, authorization: 'Bearer ' + token });
    }
    return answer;
  }

  async send(method, path, body, headers) {
    const isForm = typeof FormData !== 'undefined' && body instanceof FormData;
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), isForm ? UPLOAD_MS : CALL_MS);
    const json = body === undefined || isForm ? {} : { 'content-type': 'application/json' };
    try {
      const response = await this.fetch(path, {
        method,
        headers: { ...json, ...headers },
        body: body === undefined || isForm ? body : JSON.stringify(body),
        signal: stop.signal,
        cache: 'no-store',
        credentials: 'omit',
        redirect: 'error',
      });
      const words = await response.text();
      let parsed = null;
      try {
        parsed = words ? JSON.parse(words) : null;
      } catch {
        // A proxy's page: the status says enough.
      }
      return { status: response.status, body: parsed, headers: response.headers };
    } catch (error) {
      throw new NoNetwork(String(error));
    } finally {
      clearTimeout(timer);
    }
  }
}

// ------------------------------------------------------------------------------------------------------------ the queue

/// What the driver did and the server has not heard yet. `store` keeps items over a restart: `all()`, `put(item)`,
/// `remove(id)`. An item is sent under the id it got when it was made, so that it may be sent twice and counts once.
class Outbox {
  constructor({ store, session, changed }) {
    Object.assign(this, { store, session, changed: changed || (() => {}), flushing: null });
  }

  async items() {
    const items = await this.store.all();
    return items.filter((item) => item.driver === this.session.driver).sort((a, b) => a.order - b.order);
  }

  /// Items of drivers that this phone was before.
  async others() {
    return (await this.store.all()).filter((item) => item.driver !== this.session.driver);
  }

  /// Keeps an item `{id, kind, …}`; it is safe when this returns.
  async add(item) {
    const last = (await this.store.all()).reduce((most, held) => Math.max(most, held.order), 0);
    await this.store.put({ ...item, driver: this.session.driver, order: last + 1 });
    this.more = true;
    this.changed();
  }

  async pending(kind) {
    return (await this.items()).filter((item) => item.kind === kind && !item.refused);
  }

  /// The reports that wait, as the server will see them.
  async reports() {
    return (await this.pending('report')).map((item) => item.body);
  }

  /// What the server did not take; the driver has to look.
  async refused() {
    return (await this.items()).filter((item) => item.refused);
  }

  async dismiss(id) {
    // With its pictures, which nothing else shows.
    const item = (await this.store.all()).find((held) => held.id === id);
    const proofs = (item && item.body && item.body.proof) || [];
    for (const proof of proofs) if (proof.upload) await this.store.remove(proof.upload);
    await this.store.remove(id);
    this.changed();
  }

  /// Sends what waits, as far as it goes; true if nothing is left to send. One at a time.
  flush() {
    const run = async () => {
      let all;
      do {
        this.more = false;
        all = await this.send();
        // What came meanwhile goes as well.
      } while (all && this.more);
      return all;
    };
    this.flushing = this.flushing || run().finally(() => { this.flushing = null; });
    return this.flushing;
  }

  async send() {
    // The last word counts.
    const wanted = await this.pending('availability');
    for (const item of wanted.slice(0, -1)) await this.store.remove(item.id);
    for (const item of wanted.slice(-1)) {
      const answer = await this.session.call('PUT', '/v1/me/availability', item.body);
      if (!(await this.settled(item, answer))) return false;
    }
    // What cannot be uploaded now holds up only what shows it.
    let all = true;
    for (const item of (await this.pending('proof')).filter((proof) => !proof.serverId)) {
      const form = new FormData();
      form.append('order', item.forOrder);
      form.append('type', item.type);
      form.append('clientEventId', item.id);
      form.append('file', item.file, item.type);
      const answer = await this.session.call('POST', '/v1/me/proofs', form);
      if (answer.status === 201) {
        // Stays until the report that shows it is sent.
        await this.store.put({ ...item, file: null, serverId: answer.body.id });
      } else if (isPassing(answer.status)) {
        all = false;
        break;
      } else {
        await this.refuse(item, answer.status, answer.body);
      }
    }
    for (const item of await this.pending('incident')) {
      const photo = item.upload && (await this.items()).find((held) => held.id === item.upload);
      if (photo && !photo.serverId && !photo.refused) {
        all = false;
        continue;
      }
      const body = photo && photo.serverId ? { ...item.body, photoId: photo.serverId } : item.body;
      const answer = await this.session.call('POST', '/v1/me/incidents', body);
      if (!(await this.settled(item, answer))) {
        all = false;
        break;
      }
      if (photo) await this.store.remove(photo.id);
    }
    return (await this.sendReports()) && all;
  }

  async sendReports() {
    let most = REPORTS_AT_ONCE;
    for (;;) {
      const items = await this.items();
      const proofs = new Map(items.filter((item) => item.kind === 'proof').map((item) => [item.id, item]));
      const reports = items.filter((item) => item.kind === 'report' && !item.refused);
      // A report waits for its uploads, and what follows it about the same order waits for it.
      const held = new Set();
      const waiting = reports.filter((item) => {
        const uploads = (item.body.proof || []).map((proof) => proofs.get(proof.upload)).filter(Boolean);
        if (uploads.some((proof) => !proof.serverId && !proof.refused)) held.add(item.body.order);
        return !held.has(item.body.order);
      }).slice(0, most);
      if (waiting.length === 0) return reports.length === 0;
      const batch = [];
      for (const item of waiting) {
        const uploads = (item.body.proof || []).map((proof) => proof.upload).filter(Boolean).map((id) => proofs.get(id));
        const bad = uploads.find((proof) => !proof || proof.refused);
        if (bad !== undefined || uploads.includes(undefined)) {
          await this.refuse(item, 422, bad && bad.refused);
        } else {
          batch.push({ item, uploads, body: shown(item.body, proofs) });
        }
      }
      if (batch.length === 0) continue;
      const answer = await this.session.call('POST', '/v1/me/events', { reports: batch.map((entry) => entry.body) });
      if (answer.status !== 200) {
        if (isPassing(answer.status)) return false;
        // The whole was refused: look for the one that is at fault.
        if (batch.length === 1) await this.refuse(batch[0].item, answer.status, answer.body);
        most = Math.max(1, Math.floor(batch.length / 2));
        continue;
      }
      const results = new Map(answer.body.results.map((result) => [result.clientEventId, result]));
      let passing = false;
      for (const { item, uploads } of batch) {
        const result = results.get(item.id);
        if (result && (result.outcome === 'applied' || result.outcome === 'replayed')) {
          await this.store.remove(item.id);
          for (const proof of uploads) await this.store.remove(proof.id);
        } else if (!result || isPassing(result.status)) {
          passing = true;
        } else {
          await this.refuse(item, result.status, result);
        }
      }
      this.changed();
      if (passing) return false;
    }
  }

  /// Takes an item out once it is taken in, or marks it; false if it has to be sent again.
  async settled(item, answer) {
    if (answer.status >= 200 && answer.status < 300) await this.store.remove(item.id);
    else if (isPassing(answer.status)) return false;
    else await this.refuse(item, answer.status, answer.body);
    this.changed();
    return true;
  }

  async refuse(item, status, problem) {
    const why = (problem && (problem.detail || problem.message || problem.why)) || 'HTTP ' + status;
    await this.store.put({ ...item, file: null, refused: { status, why } });
    this.changed();
  }
}

/// A report with the ids that the server gave its pictures.
function shown(report, proofs) {
  if (!report.proof) return report;
  const given = ({ upload, ...proof }) => (upload ? { ...proof, reference: proofs.get(upload).serverId } : proof);
  return { ...report, proof: report.proof.map(given) };
}

/// Where the phone was, until the server has it.
class Track {
  constructor({ store, session }) {
    Object.assign(this, { store, session, last: null });
  }

  /// Takes a fix if it says something new.
  async add(fix, nowMs) {
    if (this.last && nowMs - this.last.ms < FIX_EVERY_MS && metres(this.last.fix, fix) < FIX_EVERY_METRES) return false;
    this.last = { fix, ms: nowMs };
    const held = await this.store.all();
    const order = held.reduce((most, item) => Math.max(most, item.order), 0) + 1;
    await this.store.put({ id: 'fix-' + order, order, driver: this.session.driver, fix });
    const surplus = held.sort((a, b) => a.order - b.order).slice(0, Math.max(0, held.length + 1 - POSITIONS_KEPT));
    for (const item of surplus) await this.store.remove(item.id);
    return true;
  }

  async flush() {
    for (;;) {
      const held = (await this.store.all()).sort((a, b) => a.order - b.order);
      const mine = held.filter((item) => item.driver === this.session.driver).slice(0, POSITIONS_AT_ONCE);
      if (mine.length === 0) return true;
      const answer = await this.session.call('POST', '/v1/me/positions', { positions: mine.map((item) => item.fix) });
      if (isPassing(answer.status)) return false;
      // Also what was refused: one bad fix must not hold up the rest of the day.
      for (const item of mine) await this.store.remove(item.id);
    }
  }
}

/// A store that forgets with the page: for tests, and for browsers that keep nothing.
class MemoryStore {
  constructor() { this.held = new Map(); }
  async all() { return [...this.held.values()].map((item) => ({ ...item })); }
  async put(item) { this.held.set(item.id, { ...item }); }
  async remove(id) { this.held.delete(id); }
}

if (typeof module !== 'undefined') {
  module.exports = { Ended, MemoryStore, NoNetwork, Outbox, Session, TEXT, Track, businessTime, isPassing, metres, stopsAfter, text };
}

// ----------------------------------------------------------------------------------------------------- what a driver sees

/// An element with properties and children. Texts become text, never markup.
function make(name, properties, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties || {})) {
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, '');
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/// A store in the browser's database.
class BrowserStore {
  constructor(database, name) { Object.assign(this, { database, name }); }
  run(mode, act) {
    return new Promise((done, failed) => {
      const transaction = this.database.transaction(this.name, mode);
      const request = act(transaction.objectStore(this.name));
      transaction.oncomplete = () => done(request.result);
      transaction.onerror = transaction.onabort = () => failed(transaction.error);
    });
  }
  all() { return this.run('readonly', (store) => store.getAll()); }
  put(item) { return this.run('readwrite', (store) => store.put(item)); }
  remove(id) { return this.run('readwrite', (store) => store.delete(id)); }
}

function openDatabase() {
  return new Promise((done, failed) => {
    const opening = indexedDB.open('dropmate', 1);
    opening.onupgradeneeded = () => {
      for (const name of ['outbox', 'track']) opening.result.createObjectStore(name, { keyPath: 'id' });
    };
    opening.onsuccess = () => done(opening.result);
    opening.onerror = opening.onblocked = () => failed(opening.error);
  });
}

function locked(name, run) {
  return navigator.locks ? navigator.locks.request(name, run) : run();
}

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function hour(time) {
  return new Date(time).toLocaleTimeString(document.documentElement.lang, { hour: '2-digit', minute: '2-digit' });
}

/// A photo as small as it may be, right side up; the file itself where the browser cannot.
async function smaller(file) {
  try {
    const picture = await createImageBitmap(file, { imageOrientation: 'from-image' });
    const scale = Math.min(1, PHOTO_SIDE / Math.max(picture.width, picture.height));
    const canvas = make('canvas', { width: Math.round(picture.width * scale), height: Math.round(picture.height * scale) });
    canvas.getContext('2d').drawImage(picture, 0, 0, canvas.width, canvas.height);
    picture.close();
    const blob = await new Promise((done) => canvas.toBlob(done, 'image/jpeg', 0.85));
    if (blob) return blob;
  } catch {
    // An old browser, or a picture that only the server can read.
  }
  if (file.size > FILE_MOST) throw new Error(text('noPicture'));
  return file;
}

class Page {
  constructor({ outbox, track, session, keeps }) {
    Object.assign(this, { outbox, track, session, keeps });
    this.pause = SYNC_MS;
    this.state = document.getElementById('state');
    this.main = document.getElementById('main');
    this.dialog = document.getElementById('dialog');
    this.route = JSON.parse(localStorage.getItem('dropmate.route') || 'null');
    this.clock = JSON.parse(localStorage.getItem('dropmate.clock') || 'null');
    this.availability = localStorage.getItem('dropmate.availability');
  }

  say(words, tone) {
    this.state.textContent = words;
    this.state.dataset.tone = tone || '';
  }

  now() {
    return businessTime(this.clock, Date.now());
  }

  async start() {
    window.addEventListener('online', () => this.sync());
    document.addEventListener('visibilitychange', () => document.hidden || this.sync());
    await this.pairFromLink();
    window.addEventListener('hashchange', () => this.pairFromLink());
    await this.draw();
    this.follow();
    this.loop();
  }

  /// `#pair=CODE`. The code leaves the address bar at once: it is good for one phone.
  async pairFromLink() {
    const code = new URLSearchParams(location.hash.slice(1)).get('pair');
    if (!code) return;
    history.replaceState(null, '', location.pathname);
    await this.pair(code);
  }

  async pair(code) {
    this.say(text('pairing'));
    try {
      const before = this.session.driver;
      const answer = await this.session.pair(code.trim());
      if (answer.status !== 200) {
        this.say(text(isPassing(answer.status) && answer.status !== 401 ? 'later' : 'badCode'), 'bad');
        return;
      }
      if (before !== this.session.driver) this.keepRoute(null);
      this.say(text('paired'), 'good');
      this.follow();
      await this.sync();
    } catch {
      this.say(text('later'), 'bad');
    }
  }

  keepRoute(route) {
    this.route = route;
    if (route) localStorage.setItem('dropmate.route', JSON.stringify(route));
    else for (const key of ['route', 'clock', 'availability']) localStorage.removeItem('dropmate.' + key);
  }

  loop() {
    setTimeout(async () => {
      if (!document.hidden || (await this.outbox.items()).length > 0) await this.sync();
      this.loop();
    }, this.pause * (0.8 + Math.random() * 0.4));
  }

  /// Sends what waits and reads what is new. Never throws; the next one tries again.
  async sync() {
    if (!this.session.held) return this.draw();
    try {
      const waiting = (await this.outbox.items()).some((item) => !item.refused);
      if (waiting) this.say(text('sending'));
      // A tab at a time, or two of them send the same.
      const all = await locked('dropmate.outbox', async () => (await this.outbox.flush()) && (await this.track.flush()));
      await this.read();
      this.pause = all ? SYNC_MS : Math.min(this.pause * 2, PAUSE_MOST_MS);
      const left = (await this.outbox.items()).filter((item) => !item.refused).length;
      this.say(left ? text('waiting', { count: left }) : text(this.keeps ? 'sent' : 'noStore'), left ? '' : 'good');
    } catch (error) {
      if (error instanceof Ended) {
        this.say(text('ended'), 'bad');
      } else {
        this.pause = Math.min(this.pause * 2, PAUSE_MOST_MS);
        const left = (await this.outbox.items()).filter((item) => !item.refused).length;
        this.say(text('offline') + (left ? ' ' + text('waiting', { count: left }) : ''));
      }
    }
    return this.draw();
  }

  async read() {
    const tag = this.route && this.route.tag;
    const answer = await this.session.call('GET', '/v1/me/route', undefined, tag ? { 'if-none-match': tag } : {});
    if (answer.status === 200) this.keepRoute({ stops: answer.body.stops, tag: answer.headers.get('etag') });
    const taken = Date.now();
    if (this.clock && taken - this.clock.takenMs < 10 * 60000 && taken >= this.clock.takenMs) return;
    const clock = await this.session.call('GET', '/v1/clock');
    if (clock.status === 200) {
      this.clock = { businessMs: Date.parse(clock.body.businessNow), takenMs: Date.now(), speed: clock.body.speed };
      localStorage.setItem('dropmate.clock', JSON.stringify(this.clock));
    }
  }

  /// Follows where the phone is, while its driver works.
  follow() {
    const wanted = this.session.held && this.availability !== 'Offline' && this.availability !== null;
    if (!wanted && this.watching != null) {
      navigator.geolocation.clearWatch(this.watching);
      this.watching = null;
    }
    if (!wanted || this.watching != null || !navigator.geolocation) return;
    this.watching = navigator.geolocation.watchPosition(
      ({ coords }) => {
        const fix = { at: this.now(), latitude: coords.latitude, longitude: coords.longitude };
        const more = { accuracyMeters: coords.accuracy, speedMetersPerSecond: coords.speed, bearing: coords.heading, altitudeMeters: coords.altitude };
        for (const [key, value] of Object.entries(more)) if (Number.isFinite(value)) fix[key] = value;
        this.track.add(fix, Date.now());
      },
      (error) => error.code === error.PERMISSION_DENIED && this.say(text('noLocation'), 'bad'),
      { enableHighAccuracy: true, maximumAge: 10000 },
    );
  }

  async draw() {
    const driver = this.session.driver;
    document.getElementById('who').textContent = driver ? driver.split('/')[1] : '';
    const parts = [];
    const others = (await this.outbox.others()).length;
    if (others && driver) parts.push(this.othersNotice(others));
    for (const item of await this.outbox.refused()) parts.push(this.refusal(item));
    if (!driver) {
      parts.push(this.codeForm());
    } else {
      parts.push(this.availabilityChoice());
      const stops = stopsAfter(this.route ? this.route.stops : [], await this.outbox.reports());
      parts.push(stops.length ? make('ol', {}, ...stops.map((stop) => make('li', {}, this.stop(stop)))) : make('p', {}, text('nothing')));
      parts.push(make('div', { class: 'row' },
        make('button', { type: 'button', onclick: () => this.incident(null) }, text('incident')),
        make('button', { type: 'button', class: 'bad', onclick: () => this.leave() }, text('leave'))));
    }
    // What has the focus keeps it over the redrawing.
    const focused = document.activeElement && document.activeElement.id;
    if (!(this.main.contains(document.activeElement) && document.activeElement.matches('input'))) {
      this.main.replaceChildren(...parts);
      if (focused) (document.getElementById(focused) || this.main).focus({ preventScroll: true });
    }
  }

  codeForm() {
    const input = make('input', { id: 'code', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false' });
    const pair = (event) => { event.preventDefault(); input.blur(); this.pair(input.value).then(() => this.draw()); };
    return make('form', { onsubmit: pair }, make('p', {}, text('unpaired')), make('label', { for: 'code' }, text('code')), input,
      make('div', { class: 'row' }, make('button', { class: 'main' }, text('connect'))));
  }

  availabilityChoice() {
    const choose = async (availability) => {
      this.availability = availability;
      localStorage.setItem('dropmate.availability', availability);
      await this.outbox.add({ id: newId(), kind: 'availability', body: { availability } });
      this.follow();
      await this.draw();
      this.sync();
    };
    const button = (availability) => make('button', {
      type: 'button', id: 'be-' + availability, 'aria-pressed': String(this.availability === availability), onclick: () => choose(availability),
    }, text(availability));
    return make('fieldset', {}, make('legend', {}, text('availability')),
      make('div', { class: 'row' }, ...['Available', 'OnBreak', 'Offline'].map(button)));
  }

  stop(stop) {
    const { latitude, longitude } = stop.location || {};
    const place = latitude + ',' + longitude;
    const window = stop.window || {};
    const times = [
      window.earliest && text('from', { at: hour(window.earliest) }),
      window.latest && text('until', { at: hour(window.latest) }),
      stop.eta && text('eta', { at: hour(stop.eta) }),
    ].filter(Boolean).join(', ');
    const phone = stop.contact && stop.contact.phone;
    const step = (type, index) => make('button', {
      type: 'button', id: [type, stop.order, stop.kind].join('-'), class: type === 'fail' || type === 'decline' ? 'bad' : index === 0 && 'main',
      onclick: () => this.take(stop, type),
    }, text(type));
    return make('article', {},
      make('h2', {}, text(stop.kind) + ' – ' + stop.order.split('/')[1]),
      make('p', {}, stop.address || ''),
      times ? make('p', { class: 'soft' }, times) : null,
      stop.contact && stop.contact.name ? make('p', {}, stop.contact.name) : null,
      stop.instructions ? make('p', {}, stop.instructions) : null,
      make('div', { class: 'row' },
        stop.location ? make('a', { class: 'button', href: 'geo:' + place + '?q=' + place }, text('map')) : null,
        phone ? make('a', { class: 'button', href: 'tel:' + phone }, text('call')) : null,
        make('button', { type: 'button', onclick: () => this.incident(stop.order) }, text('incident'))),
      stop.legalNext.length ? make('div', { class: 'row' }, ...stop.legalNext.map(step)) : null);
  }

  /// A step: at once, or with what has to be shown or said.
  take(stop, type) {
    const proofs = type === 'pickUp' || type === 'deliver' ? (stop.proof || []).filter((proof) => proof !== 'none') : [];
    if (type === 'fail') return this.ask(text('fail'), [new Choice('reason', ['nobodyHome', 'refusedByRecipient', 'wrongAddress', 'closed', 'damaged', 'other']), new Note(false)], (values) => {
      const note = values.note ? { note: values.note } : {};
      return this.report(stop, type, { reason: values.reason, ...note });
    });
    if (proofs.length === 0) return this.report(stop, type, {});
    const fields = proofs.map((proof) => ({ photo: () => new Photo(true), signature: () => new Signature(), pin: () => new Pin(), barcode: () => new Barcode() })[proof]());
    return this.ask(text(type), fields, async (values) => {
      const proof = [];
      for (const kind of proofs) {
        if (kind === 'photo' || kind === 'signature') {
          const id = newId();
          await this.outbox.add({ id, kind: 'proof', forOrder: stop.order, type: kind, file: values[kind] });
          proof.push({ type: kind, upload: id });
        } else {
          proof.push({ type: kind, reference: values[kind] });
        }
      }
      await this.report(stop, type, { proof });
    });
  }

  async report(stop, type, more) {
    const id = newId();
    const here = this.track.last ? { location: { latitude: this.track.last.fix.latitude, longitude: this.track.last.fix.longitude } } : {};
    const body = { order: stop.order, clientEventId: id, type, occurredAt: this.now(), driver: this.session.driver.split('/')[1], ...here, ...more };
    await this.outbox.add({ id, kind: 'report', body });
    await this.draw();
    this.main.focus({ preventScroll: true });
    this.sync();
  }

  incident(order) {
    const fields = [new Choice('category', ['Damaged', 'Missing', 'Accident', 'Vehicle', 'Other']), new Note(true)];
    // A picture is for an order.
    if (order) fields.push(new Photo(false));
    this.ask(text('incident'), fields, async (values) => {
      const id = newId();
      const item = { id, kind: 'incident', body: { category: values.category, note: values.note, clientEventId: id, occurredAt: this.now() } };
      if (order) item.body.order = order;
      if (values.photo) {
        item.upload = newId();
        await this.outbox.add({ id: item.upload, kind: 'proof', forOrder: order, type: 'photo', file: values.photo });
      }
      await this.outbox.add(item);
      this.sync();
    });
  }

  /// Asks for fields in a dialog, and goes on with their values.
  ask(title, fields, then) {
    const problem = make('p', { class: 'error', role: 'alert' });
    const close = () => { this.dialog.close(); this.dialog.replaceChildren(); };
    const submit = async (event) => {
      event.preventDefault();
      const done = event.submitter;
      if (done) done.disabled = true;
      try {
        const values = {};
        for (const field of fields) values[field.name] = await field.value();
        await then(values);
        close();
      } catch (error) {
        problem.textContent = error.message;
        if (done) done.disabled = false;
      }
    };
    const parts = fields.map((field) => field.draw());
    this.dialog.replaceChildren(make('form', { onsubmit: submit }, make('h2', { id: 'dialog-title' }, title), ...parts, problem,
      make('div', { class: 'row' },
        make('button', { class: 'main' }, text('done')),
        make('button', { type: 'button', onclick: close }, text('cancel')))));
    this.dialog.showModal();
  }

  refusal(item) {
    const what = item.kind === 'report' ? text(item.body.type) + ' (' + item.body.order.split('/')[1] + ')' : text(item.kind === 'proof' ? item.type : item.kind);
    return make('div', { class: 'notice', role: 'alert' },
      make('p', {}, text('refused', { what, why: item.refused.why })),
      make('div', { class: 'row' }, make('button', { type: 'button', onclick: () => this.outbox.dismiss(item.id).then(() => this.draw()) }, text('close'))));
  }

  othersNotice(count) {
    const discard = async () => {
      for (const item of await this.outbox.others()) await this.outbox.dismiss(item.id);
      await this.draw();
    };
    return make('div', { class: 'notice' }, make('p', {}, text('others', { count })),
      make('div', { class: 'row' }, make('button', { type: 'button', class: 'bad', onclick: discard }, text('discard'))));
  }

  async leave() {
    if ((await this.outbox.items()).length > 0 && !confirm(text('leaveSure'))) return;
    const held = this.session.held;
    for (const item of await this.outbox.items()) await this.outbox.dismiss(item.id);
    this.session.forget();
    this.availability = null;
    this.keepRoute(null);
    this.follow();
    // Best effort: the office can end the session as well.
    this.session.send('POST', '/v1/auth/logout', { refreshToken: held.refreshToken }).catch(() => {});
    await this.draw();
  }
}

// --------------------------------------------------------------------------------------------------- fields of a dialog

function missing(what) {
  return new Error(text('required', { what: text(what) }));
}

class Choice {
  constructor(name, words) { Object.assign(this, { name, words }); }
  draw() {
    this.input = make('select', { id: this.name }, ...this.words.map((word) => make('option', { value: word }, text(word))));
    return make('div', {}, make('label', { for: this.name }, text(this.name)), this.input);
  }
  value() { return this.input.value; }
}

class Note {
  constructor(required) { Object.assign(this, { name: 'note', required }); }
  draw() {
    this.input = make('textarea', { id: 'note', rows: 3, maxlength: 2000 });
    return make('div', {}, make('label', { for: 'note' }, text('note')), this.input);
  }
  value() {
    const words = this.input.value.trim();
    if (this.required && !words) throw missing('note');
    return words;
  }
}

class Pin {
  constructor() { this.name = 'pin'; }
  draw() {
    this.input = make('input', { id: 'pin', class: 'pin', inputmode: 'numeric', autocomplete: 'off', maxlength: 6 });
    return make('div', {}, make('label', { for: 'pin' }, text('pin')), this.input);
  }
  value() {
    const digits = this.input.value.trim();
    if (!/^[0-9]{6}$/.test(digits)) throw missing('pin');
    return digits;
  }
}

class Barcode {
  constructor() { this.name = 'barcode'; }
  draw() {
    this.input = make('input', { id: 'barcode', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', maxlength: 2000 });
    return make('div', {}, make('label', { for: 'barcode' }, text('barcode')), this.input);
  }
  value() {
    const code = this.input.value.trim();
    if (!code) throw missing('barcode');
    return code;
  }
}

class Photo {
  constructor(required) { Object.assign(this, { name: 'photo', required }); }
  draw() {
    this.input = make('input', { id: 'photo', type: 'file', accept: 'image/*', capture: 'environment' });
    return make('div', {}, make('label', { for: 'photo' }, text('photo')), this.input);
  }
  async value() {
    const file = this.input.files[0];
    if (!file && this.required) throw missing('photo');
    return file ? smaller(file) : null;
  }
}

/// Drawn with a finger, or typed by whoever cannot.
class Signature {
  constructor() { this.name = 'signature'; this.drawn = false; }
  draw() {
    this.canvas = make('canvas', { width: 900, height: 260, role: 'img', 'aria-label': text('signature') });
    const pen = this.canvas.getContext('2d');
    Object.assign(pen, { lineWidth: 5, lineCap: 'round', lineJoin: 'round', strokeStyle: '#000', fillStyle: '#000' });
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [((event.clientX - box.left) * this.canvas.width) / box.width, ((event.clientY - box.top) * this.canvas.height) / box.height];
    };
    this.canvas.addEventListener('pointerdown', (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      pen.beginPath();
      pen.moveTo(...at(event));
      this.down = true;
    });
    this.canvas.addEventListener('pointermove', (event) => {
      if (!this.down) return;
      pen.lineTo(...at(event));
      pen.stroke();
      this.drawn = true;
    });
    for (const up of ['pointerup', 'pointercancel']) this.canvas.addEventListener(up, () => { this.down = false; });
    const clear = () => { pen.clearRect(0, 0, this.canvas.width, this.canvas.height); this.drawn = false; };
    this.typed = make('input', { id: 'signName', autocomplete: 'off', maxlength: 60 });
    return make('div', {}, make('label', {}, text('signature')), this.canvas,
      make('div', { class: 'row' }, make('button', { type: 'button', onclick: clear }, text('clear'))),
      make('label', { for: 'signName' }, text('signName')), this.typed);
  }
  value() {
    const name = this.typed.value.trim();
    if (!this.drawn && !name) throw missing('signature');
    if (!this.drawn) {
      const pen = this.canvas.getContext('2d');
      pen.font = '64px serif';
      pen.fillText(name, 24, 150, this.canvas.width - 48);
    }
    return new Promise((done, failed) => this.canvas.toBlob((blob) => (blob ? done(blob) : failed(missing('signature'))), 'image/png'));
  }
}

async function main() {
  const session = new Session({ storage: localStorage, fetch: (...call) => fetch(...call), locked, now: () => Date.now() });
  let stores;
  try {
    const database = await openDatabase();
    stores = [new BrowserStore(database, 'outbox'), new BrowserStore(database, 'track')];
    // So that the browser does not throw the queue away when the disk is full.
    if (navigator.storage && navigator.storage.persist) navigator.storage.persist();
  } catch {
    stores = [new MemoryStore(), new MemoryStore()];
  }
  const keeps = stores[0] instanceof BrowserStore;
  const page = new Page({ outbox: new Outbox({ store: stores[0], session }), track: new Track({ store: stores[1], session }), session, keeps });
  if ('serviceWorker' in navigator) {
    const version = document.querySelector('script[data-version]').dataset.version;
    navigator.serviceWorker.register('/d/phone-worker.js?v=' + version, { scope: '/d' }).catch(() => {});
  }
  await page.start();
}

if (typeof document !== 'undefined') main();
