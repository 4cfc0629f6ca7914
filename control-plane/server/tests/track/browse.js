// Opens the customer's page in a headless Chromium and goes through a delivery with it. Chromium is spoken to over its pipe
// (the DevTools protocol, messages that end with a NUL), so that nothing but node is needed.
// What is to happen on the server is printed, a line each; a line on stdin says that it has.
'use strict';

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const readline = require('node:readline');

const PAGE = process.env.PAGE;
const AXE = fs.readFileSync(process.env.AXE, 'utf8');
const CHROMIUM = process.env.CHROMIUM || 'chromium';
const SOON = 15000;
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'dropmate-chromium-'));
const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--ignore-certificate-errors', '--lang=en-US',
  '--accept-lang=en-US', '--remote-debugging-pipe', `--user-data-dir=${profile}`, 'about:blank'];
const browser = spawn(CHROMIUM, flags, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
browser.on('error', (error) => fail(`${CHROMIUM}: ${error.message}; .ci/prepare installs it`));

function fail(why) {
  process.stderr.write(`browse.js: ${why}\n`);
  browser.kill('SIGKILL');
  process.exit(1);
}

// The protocol.
const waiting = new Map();
let last = 0;
let received = '';
browser.stdio[4].on('data', (bytes) => {
  received += bytes.toString('utf8');
  const messages = received.split('\0');
  received = messages.pop();
  for (const text of messages) {
    const message = JSON.parse(text);
    const answer = waiting.get(message.id);
    if (!answer) continue;
    waiting.delete(message.id);
    if (message.error) answer.reject(new Error(message.error.message));
    else answer.resolve(message.result);
  }
});

let session;
function call(method, params = {}) {
  last += 1;
  const id = last;
  const message = { id, method, params, ...(session ? { sessionId: session } : {}) };
  browser.stdio[3].write(`${JSON.stringify(message)}\0`);
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

async function evaluate(expression) {
  const answer = await call('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
  if (answer.exceptionDetails) throw new Error(answer.exceptionDetails.exception?.description || 'an exception');
  return answer.result.value;
}

const pause = (time) => new Promise((resolve) => { setTimeout(resolve, time); });

async function until(what, expression) {
  const end = Date.now() + SOON;
  for (;;) {
    const value = await evaluate(expression).catch(() => undefined);
    if (value) return value;
    if (Date.now() > end) {
      const text = await evaluate('document.body.innerText').catch(() => '');
      throw new Error(`${what}: not within ${SOON} ms; the page says: ${text}`);
    }
    await pause(50);
  }
}

// The server's side.
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
async function ask(what) {
  process.stdout.write(`${what}\n`);
  const { done } = await lines.next();
  if (done) throw new Error('nobody answers');
}

async function violations() {
  const found = await evaluate(`(async () => {
    if (!window.axe) { ${AXE} }
    const found = await axe.run(document, { runOnly: { type: 'tag', values: ${JSON.stringify(RULES)} } });
    return found.violations.map((rule) => rule.id + ': ' + rule.help + ' at '
      + rule.nodes.map((node) => node.html.slice(0, 160)).join(' | '));
  })()`);
  return found;
}

// Looks at the page as it is, in both colour schemes, and on the narrowest screen.
async function check(state) {
  for (const scheme of ['light', 'dark']) {
    await call('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
    const found = await violations();
    if (found.length) throw new Error(`${state}, ${scheme}: ${found.join('\n')}`);
    await ask(`checked ${state}, ${scheme}`);
  }
  await call('Emulation.setDeviceMetricsOverride', { width: 320, height: 640, deviceScaleFactor: 1, mobile: true });
  const width = await evaluate('document.documentElement.scrollWidth');
  if (width > 320) throw new Error(`${state}: ${width} px wide on a screen of 320`);
  await call('Emulation.clearDeviceMetricsOverride');
}

const headline = (text) => `document.querySelector('h1') && document.querySelector('h1').textContent.includes(${JSON.stringify(text)})`;
const open = () => call('Page.navigate', { url: PAGE });

async function main() {
  const { targetId } = await call('Target.createTarget', { url: 'about:blank' });
  session = (await call('Target.attachToTarget', { targetId, flatten: true })).sessionId;
  await call('Page.enable');
  await call('Runtime.enable');

  await open();
  await until('the stream', "document.body && document.body.dataset.live === 'stream'");
  await until('the headline', headline('on the way to fetch your order'));
  await check('before the pickup');

  await ask('pick up');
  await until('the next headline', headline('on its way'));
  const heard = await evaluate("document.getElementById('heard').textContent");
  if (heard !== 'Your order is on its way') throw new Error(`what is read out: ${heard}`);
  await check('on the way');

  await ask('drive far');
  const far = await until('the sketch', "document.getElementById('driver') && document.getElementById('away').textContent");
  await check('with the sketch');
  const before = await evaluate("document.getElementById('sketch')");
  await evaluate("document.getElementById('sketch').dataset.mark = 'same'");
  await ask('drive near');
  const near = await until('the dot moves',
    `document.getElementById('away').textContent !== ${JSON.stringify(far)} && document.getElementById('away').textContent`);
  // The script moves the dot where the server would have drawn it.
  const moved = await evaluate(`(async () => {
    const drawn = document.getElementById('driver');
    const answer = await (await fetch(location.pathname + '/live')).text();
    const other = new DOMParser().parseFromString(answer, 'text/html');
    const same = ['cx', 'cy'].every((name) => Math.abs(drawn.getAttribute(name) - other.getElementById('driver').getAttribute(name)) < 0.2);
    return [same, other.getElementById('away').textContent === document.getElementById('away').textContent,
      other.getElementById('scale').textContent === document.getElementById('scale').textContent,
      document.getElementById('sketch').dataset.mark === 'same'];
  })()`);
  if (!moved.every(Boolean)) throw new Error(`the script draws otherwise than the server: ${moved} (${far}, ${near}, ${before})`);

  // Where no stream can be opened, the page asks now and then.
  const { identifier } = await call('Page.addScriptToEvaluateOnNewDocument', {
    source: 'window.WebSocket = class { constructor() { setTimeout(() => this.onclose({ code: 1006 }), 10); } };',
  });
  await open();
  await until('polling', "document.body && document.body.dataset.live === 'polling'");
  await ask('arrive');
  await until('the headline by polling', headline('at your door'));
  await check('at the door');
  await call('Page.removeScriptToEvaluateOnNewDocument', { identifier });

  await open();
  await until('the stream again', "document.body && document.body.dataset.live === 'stream'");
  await ask('deliver');
  await until('the end', headline('Delivered'));
  await until('the form', "document.querySelector('input[name=stars]')");
  await check('delivered');
  await evaluate("document.querySelector('input[value=\"5\"]').click(); document.querySelector('#live form').requestSubmit(); true");
  await until('thanks', "document.body.innerText.includes('Thank you for your rating.')");
  await check('rated');

  await ask('revoke');
  await open();
  await until('that the link is gone', headline('leads nowhere'));
  await check('gone');

  // The pages behind mailed links, and the drivers' page before its phone is paired.
  for (const [state, place] of [['invitation', '/invitations/x'], ['verification', '/verifications/x'], ['phone', '/d']]) {
    await call('Page.navigate', { url: new URL(place, PAGE).href });
    await until(state, `location.pathname === ${JSON.stringify(place)} && document.readyState === 'complete' && document.querySelector('h1')`);
    await check(state);
  }

  // A check that finds nothing wrong in a page that is wrong would be none.
  await evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"data:,\"><p style=\"color:#bbb\">x</p>'); true");
  const found = await violations();
  if (!found.some((rule) => rule.startsWith('image-alt'))) throw new Error(`axe finds no missing text: ${found}`);

  browser.kill('SIGKILL');
  fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
}

main().then(() => process.exit(0), (error) => fail(error.stack));
