// A small server that keeps to the contract of `/v1/me…`, and can lose requests, lose answers and end sessions.
'use strict';

const LEGAL = {
  Assigned: ['depart', 'arrive', 'pickUp'], EnRouteToPickup: ['arrive', 'pickUp'], AtPickup: ['pickUp', 'fail'],
  OutForDelivery: ['depart', 'arrive', 'deliver', 'fail'], AtDropoff: ['deliver', 'fail'], Delivered: [], AttemptFailed: [],
};
const PIN = '471108';

class Server {
  constructor() {
    Object.assign(this, { phase: 'Assigned', applied: [], proofs: new Map(), incidents: new Map(), positions: [], calls: [], fault: () => null });
    Object.assign(this, { code: 'c0de', refresh: 'r1', access: 'a1', refreshes: 0, availability: null });
  }

  /// Like `fetch`. A fault is `'lost'` (it never came), `'unanswered'` (it was done, nobody heard) or a status.
  fetch = async (path, { method, headers, body }) => {
    const call = { method, path, body: body instanceof FormData ? body : body && JSON.parse(body) };
    this.calls.push(call);
    const fault = this.fault(call);
    if (fault === 'lost') throw new TypeError('no network');
    const [status, answer] = typeof fault === 'number' ? [fault, { detail: 'a fault' }] : this.answer(call, headers);
    if (fault === 'unanswered') throw new TypeError('no network');
    return { status, headers: new Map([['etag', '"1"']]), text: async () => JSON.stringify(answer) };
  };

  granted() {
    return { accessToken: this.access, refreshToken: this.refresh, tokenType: 'Bearer', expiresIn: 900 };
  }

  answer({ method, path, body }, headers) {
    if (path === '/v1/pair') {
      if (body.code !== this.code) return [410, { detail: 'gone' }];
      this.code = null;
      return [200, { ...this.granted(), namespace: 'acme', driver: 'sam', server: 'https://x' }];
    }
    if (path === '/v1/auth/refresh') {
      if (body.refreshToken !== this.refresh) return [401, {}];
      this.refreshes += 1;
      this.refresh = 'r' + (this.refreshes + 1);
      this.access = 'a' + (this.refreshes + 1);
      return [200, this.granted()];
    }
    if (headers.authorization !== 'Bearer ' + this.access) return [401, {}];
    switch (method + ' ' + path) {
      case 'PUT /v1/me/availability':
        this.availability = body.availability;
        return [200, body];
      case 'GET /v1/me/route':
        return [200, { stops: this.route() }];
      case 'GET /v1/clock':
        return [200, { systemNow: '2026-01-01T08:00:00Z', businessNow: '2026-01-01T08:00:00Z', speed: 1 }];
      case 'POST /v1/me/positions':
        if (body.positions.length > 1000) return [413, {}];
        this.positions.push(...body.positions);
        return [200, { accepted: body.positions.length, duplicate: 0, rejected: 0 }];
      case 'POST /v1/me/incidents':
        this.incidents.set(body.clientEventId, body);
        return [201, { id: 'inc_' + this.incidents.size }];
      case 'POST /v1/me/proofs': {
        const id = body.get('clientEventId');
        if (!this.proofs.has(id)) this.proofs.set(id, 'prf_' + (this.proofs.size + 1));
        return [201, { id: this.proofs.get(id) }];
      }
      case 'POST /v1/me/events':
        if (body.reports.length > 500) return [413, {}];
        return [200, { results: body.reports.map((report) => this.take(report)) }];
      default:
        return [404, {}];
    }
  }

  /// The stops of the one order, as the route of a driver has them.
  route() {
    if (LEGAL[this.phase].length === 0) return [];
    const stop = (kind, legalNext, proof) => ({
      order: 'acme/o1', kind, legalNext, proof, address: '<b>12</b> Mill St', location: { latitude: 43.65, longitude: -79.36 },
      window: { latest: '2026-01-01T09:00:00Z' }, contact: { name: 'Ada', phone: '+14165550100' },
    });
    const fetched = ['OutForDelivery', 'AtDropoff'].includes(this.phase);
    const dropoff = stop('dropoff', fetched ? LEGAL[this.phase] : [], ['photo', 'pin']);
    return fetched ? [dropoff] : [stop('pickup', LEGAL[this.phase], []), dropoff];
  }

  take(report) {
    const result = (outcome, status, detail) => ({ clientEventId: report.clientEventId, outcome, status, phase: this.phase, legalNext: LEGAL[this.phase], detail });
    const known = this.applied.find((held) => held.clientEventId === report.clientEventId);
    if (known) return result('replayed', 200);
    if (!LEGAL[this.phase].includes(report.type)) return result('rejected', 409, report.type + ' cannot follow');
    const proof = (type) => (report.proof || []).find((given) => given.type === type);
    if (report.type === 'deliver') {
      if (!proof('pin') || proof('pin').reference !== PIN) return result('rejected', 422, 'the PIN is wrong; tries that are left: 4');
      if (!proof('photo') || ![...this.proofs.values()].includes(proof('photo').reference)) return result('rejected', 422, 'no such picture');
    }
    const next = { depart: this.phase === 'Assigned' ? 'EnRouteToPickup' : 'OutForDelivery', arrive: this.phase === 'OutForDelivery' ? 'AtDropoff' : 'AtPickup', pickUp: 'OutForDelivery', deliver: 'Delivered', fail: 'AttemptFailed' };
    this.phase = next[report.type];
    this.applied.push(report);
    return result('applied', 200);
  }
}

module.exports = { PIN, Server };
