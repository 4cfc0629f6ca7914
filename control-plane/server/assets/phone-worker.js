// So that the page opens without a network. Keeps the page and its two files, and nothing of the API: what the phone has
// to say waits in the page's own queue.
'use strict';

const VERSION = new URL(self.location.href).searchParams.get('v');
const CACHE = 'dropmate-phone-' + VERSION;
const FILES = ['/d', '/d/phone.js?v=' + VERSION, '/d/phone.css?v=' + VERSION];

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => {
  const old = (names) => names.filter((name) => name.startsWith('dropmate-phone-') && name !== CACHE);
  event.waitUntil(
    caches.keys().then((names) => Promise.all(old(names).map((name) => caches.delete(name)))).then(() => self.clients.claim()),
  );
});

self.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== 'GET' || url.origin !== self.location.origin) return;
  if (url.pathname === '/d') {
    // The newest page where there is a network, else the one that is kept.
    event.respondWith(fetch(event.request).catch(() => caches.match('/d')));
  } else if (url.pathname === '/d/phone.js' || url.pathname === '/d/phone.css') {
    // A file of a version never changes.
    event.respondWith(caches.match(event.request).then((kept) => kept || fetch(event.request)));
  }
});
