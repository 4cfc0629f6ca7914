// The customer's page, live. The server writes every word of it: this script only asks for the part that changes when
// something has changed, and moves the driver's dot. Without it the page loads itself anew now and then.
'use strict';

(() => {
  const live = document.getElementById('live');
  const heard = document.getElementById('heard');
  const page = location.pathname.replace(/\/+$/, '');
  const POLL = 5000; // while there is no stream
  const REFRESH = 30000; // beside a stream: time passes
  const PAUSE_MAX = 60000; // between two tries to open a stream
  const TRIES_BEFORE_POLLING = 2;
  const OLD = 120000; // as the server says it
  let socket = null;
  let failures = 0;
  let ended = false;
  let timer = 0;
  let asking = null;

  // Where the dot is: the same as in the server's sketch.
  const RINGS = [500, 1000, 2000, 5000, 10000, 20000, 50000, 100000];
  const EDGE = 88;

  function place(svg, latitude, longitude) {
    const home = { latitude: Number(svg.dataset.latitude), longitude: Number(svg.dataset.longitude) };
    const perDegree = 111320;
    const east = (longitude - home.longitude) * perDegree * Math.cos((home.latitude * Math.PI) / 180);
    const north = (latitude - home.latitude) * perDegree;
    const meters = Math.hypot(east, north);
    const ring = RINGS.find((radius) => meters <= radius) || RINGS[RINGS.length - 1];
    const radius = EDGE * Math.min(1, Math.sqrt(meters / ring));
    const scale = meters > 0 ? radius / meters : 0;
    return { x: east * scale, y: -north * scale, meters, ring };
  }

  function distance(meters) {
    const number = (value, digits) => new Intl.NumberFormat(document.documentElement.lang,
      { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
    if (meters < 950) return `${number(Math.max(50, Math.round(meters / 50) * 50), 0)} m`;
    return `${number(meters / 1000, meters < 9950 ? 1 : 0)} km`;
  }

  function move(data) {
    const svg = document.getElementById('sketch');
    if (!svg) return refresh();
    const { x, y, meters, ring } = place(svg, data.latitude, data.longitude);
    const set = (id, values) => Object.entries(values).forEach(([name, value]) =>
      document.getElementById(id).setAttribute(name, value));
    set('driver', { cx: x.toFixed(1), cy: y.toFixed(1) });
    set('way', { x1: x.toFixed(1), y1: y.toFixed(1) });
    document.getElementById('scale').textContent = distance(ring);
    const away = svg.dataset.away.replace('{distance}', distance(meters));
    document.getElementById('away').textContent = away;
    svg.setAttribute('aria-label', away);
    const old = document.getElementById('old');
    // Positions may come late, from a phone that was in a tunnel: then the server says how old it is.
    if (Date.now() - Date.parse(data.at) > OLD) return refresh();
    if (old) old.hidden = true;
    return null;
  }

  // Puts in the part that changes, unless somebody is at work in it.
  async function refresh() {
    if (asking || ended) return asking;
    asking = (async () => {
      const answer = await fetch(`${page}/live`, { headers: { accept: 'text/html' }, cache: 'no-store' });
      if (answer.status === 404) {
        ended = true;
        if (socket) socket.close();
      } else if (!answer.ok) {
        return;
      }
      const html = await answer.text();
      const busy = live.querySelector('form') && live.contains(document.activeElement);
      const written = [...live.querySelectorAll('textarea')].some((field) => field.value);
      if ((busy || written) && !ended) return;
      const before = live.querySelector('[data-say]');
      const said = before ? before.textContent : '';
      const parsed = new DOMParser().parseFromString(html, 'text/html');
      live.replaceChildren(...document.adoptNode(parsed.body).childNodes);
      const after = live.querySelector('[data-say]');
      // Only what is news is read out.
      if (after && after.textContent !== said) heard.textContent = after.textContent;
    })();
    try {
      await asking;
    } catch {
      // Away for a moment; the next turn asks again.
    } finally {
      asking = null;
    }
    return null;
  }

  function turn() {
    clearTimeout(timer);
    if (ended) return;
    const open = socket && socket.readyState === WebSocket.OPEN;
    const polling = !open && failures >= TRIES_BEFORE_POLLING;
    timer = setTimeout(async () => {
      if (!document.hidden) await refresh();
      turn();
    }, polling ? POLL : REFRESH);
  }

  function connect() {
    if (ended || !('WebSocket' in window)) { failures = TRIES_BEFORE_POLLING; return turn(); }
    const token = page.split('/').pop();
    const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
    socket = new WebSocket(`${scheme}//${location.host}/v1/track/${token}/stream`);
    socket.onopen = () => { failures = 0; document.body.dataset.live = 'stream'; turn(); };
    socket.onmessage = (message) => {
      const frame = JSON.parse(message.data);
      if (frame.type === 'position') move(frame.data);
      else if (frame.type === 'event' || frame.type === 'reset') refresh();
    };
    socket.onclose = (close) => {
      socket = null;
      if (close.code === 4401) { refresh(); return; }
      failures += 1;
      document.body.dataset.live = 'polling';
      turn();
      const pause = Math.min(PAUSE_MAX, 1000 * 2 ** failures) * (0.5 + Math.random());
      setTimeout(connect, pause);
    };
  }

  document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
  connect();
  turn();
})();
