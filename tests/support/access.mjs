// A row for each operation of openapi.json: a request that would do what the operation does, the
// scope it needs, and what the owner is answered. access.test.mjs sends each as everybody who may not.
//
// scope: of a caller; undefined: any caller may; admin: the administrator is asked instead of the owner. open: nobody is asked who they are. signed: what it
// says ({status, code}) to who has a credential instead of a signature. reads: an answer that goes
// on, of which only the status is looked at. owner: the status for the owner, 200 unless said.
const BOUNDARY = 'access-table';
const form = [
  `--${BOUNDARY}`, 'Content-Disposition: form-data; name="f"; filename="intruder"', '', 'x', `--${BOUNDARY}--`, '',
].join('\r\n');
const octets = { 'Content-Type': 'application/octet-stream' };
const urlInvalid = { status: 403, code: 'url_invalid' };

export const rows = {
  'GET /health': { open: true },
  'GET /openapi.json': { open: true },
  'POST /webhooks/clerk': { signed: { status: 400, code: 'webhook_refused' }, body: {} },

  'POST /api/keys': { scope: 'keys', body: {}, owner: 201 },
  'GET /api/keys': { scope: 'keys' },
  'POST /api/keys/{id}/rotate': { scope: 'keys', body: {}, owner: 201 },
  'DELETE /api/keys/{id}': { scope: 'keys' },

  'GET /api/secrets': { scope: 'sandbox:read' },
  'PUT /api/secrets/{name}': { scope: 'sandbox:write', body: { value: 'intruder' } },
  'DELETE /api/secrets/{name}': { scope: 'sandbox:write' },
  'GET /api/volumes': { scope: 'sandbox:read' },
  'POST /api/volumes': { scope: 'sandbox:write', body: { name: 'intruder', sizeMB: 16 }, owner: 201 },
  'GET /api/volumes/{name}/archive': { scope: 'files' },
  'PUT /api/volumes/{name}/archive': {
    scope: 'files', body: Buffer.alloc(1024), headers: { 'Content-Type': 'application/x-tar' },
  },
  'DELETE /api/volumes/{name}': { scope: 'sandbox:write' },

  'GET /api/users/me': {},
  'PATCH /api/users/me': { scope: 'keys', body: { displayName: 'Intruder' } },
  'GET /api/users/me/sandboxes': { scope: 'sandbox:read' },
  'GET /api/audit': { scope: 'keys' },

  'GET /api/events': { scope: 'sandbox:read', reads: true },
  'POST /api/webhooks': { scope: 'keys', body: { url: 'https://webhooks.invalid/' }, owner: 201 },
  'GET /api/webhooks': { scope: 'keys' },
  'GET /api/webhooks/{id}/dead-letters': { scope: 'keys' },
  'POST /api/webhooks/{id}/redeliver': { scope: 'keys' },
  'DELETE /api/webhooks/{id}': { scope: 'keys' },

  'GET /api/templates': { scope: 'sandbox:read' },
  'POST /api/templates': { scope: 'sandbox:write', body: { name: 'intruder', image: 'insien/tiny' }, owner: 201 },
  'GET /api/templates/{template}': { scope: 'sandbox:read' },
  'GET /api/templates/{templateId}/log': { scope: 'sandbox:read', reads: true },
  'PUT /api/templates/{templateId}/context': {
    scope: 'sandbox:write', body: Buffer.alloc(1024), headers: { 'Content-Type': 'application/x-tar' },
  },
  'DELETE /api/templates/{template}': { scope: 'sandbox:write' },

  'GET /sandbox': { scope: 'sandbox:read' },
  'POST /sandbox/execute': { scope: 'exec', body: { language: 'bash', code: 'true' } },
  'POST /sandbox/execute/batch': { scope: 'exec', body: { items: [{ language: 'bash', code: 'true' }] } },
  'POST /sandbox/create': { scope: 'sandbox:write', body: { template: 'tiny', network: 'none' } },
  'GET /sandbox/quota/usage': { scope: 'sandbox:read' },
  'GET /sandbox/{sandboxId}/status': { scope: 'sandbox:read' },
  'GET /sandbox/{sandboxId}/events': { scope: 'sandbox:read', reads: true },
  'POST /sandbox/{sandboxId}/timeout': { scope: 'sandbox:write', body: { timeoutMs: 300_000 } },
  'POST /sandbox/{sandboxId}/pause': { scope: 'sandbox:write', body: {} },
  'POST /sandbox/{sandboxId}/resume': { scope: 'sandbox:write', body: {} },
  'GET /sandbox/{sandboxId}/stats': { scope: 'sandbox:read' },
  'GET /sandbox/{sandboxId}/stats/history': { scope: 'sandbox:read' },
  'POST /sandbox/{sandboxId}/fork': { scope: 'sandbox:write', body: { count: 0 }, owner: 400 },
  'POST /sandbox/{sandboxId}/snapshots': { scope: 'sandbox:write', body: {}, owner: 201 },
  'GET /api/snapshots': { scope: 'sandbox:read' },
  'GET /api/snapshots/{snapshot}': { scope: 'sandbox:read' },
  'DELETE /api/snapshots/{snapshot}': { scope: 'sandbox:write', owner: 403 },

  'POST /sandbox/{sandboxId}/exec': { scope: 'exec', body: { cmd: 'touch', args: ['intruder'] } },
  'GET /sandbox/{sandboxId}/processes': { scope: 'exec' },
  'POST /sandbox/{sandboxId}/processes/{process}/signal': { scope: 'exec', body: { signal: 'SIGCONT' } },
  'POST /sandbox/{sandboxId}/processes/{process}/stdin': { scope: 'exec', body: { data: 'intruder\n' } },
  'POST /sandbox/{sandboxId}/processes/{process}/resize': { scope: 'exec', body: { cols: 100, rows: 30 } },
  'GET /sandbox/{sandboxId}/processes/{process}/output': { scope: 'exec' },

  'GET /sandbox/{sandboxId}/files': { scope: 'files', query: 'path=kept' },
  'PUT /sandbox/{sandboxId}/files': { scope: 'files', query: 'path=kept', body: 'intruder', headers: octets },
  'POST /sandbox/{sandboxId}/files': {
    scope: 'files', query: 'path=.', body: form, headers: { 'Content-Type': `multipart/form-data; boundary=${BOUNDARY}` },
  },
  'POST /sandbox/{sandboxId}/files/url': { scope: 'files', body: { path: 'kept', op: 'download' } },
  'GET /files/{sandboxId}': { signed: urlInvalid, query: `path=kept&op=download&exp=4102444800&sig=${'A'.repeat(43)}` },
  'PUT /files/{sandboxId}': {
    signed: urlInvalid, query: `path=kept&op=upload&exp=4102444800&sig=${'A'.repeat(43)}`, body: 'intruder', headers: octets,
  },
  'POST /sandbox/{sandboxId}/token': { body: { scopes: ['sandbox:read'] }, owner: 201 },
  'GET /sandbox/{sandboxId}/archive': { scope: 'files', query: 'path=.' },
  'PUT /sandbox/{sandboxId}/archive': {
    scope: 'files', query: 'path=unpacked', body: Buffer.alloc(1024), headers: { 'Content-Type': 'application/x-tar' },
  },
  'GET /sandbox/{sandboxId}/entries': { scope: 'files', query: 'path=.' },
  'POST /sandbox/{sandboxId}/entries': { scope: 'files', body: { op: 'mkdir', path: 'intruder.d' } },
  'GET /sandbox/{sandboxId}/watch': { scope: 'files', query: 'path=.', reads: true },
  'POST /sandbox/{sandboxId}/search': { scope: 'files', body: { path: '.', name: 'kept' } },

  'POST /sandbox/{sandboxId}/expose': { scope: 'sandbox:write', body: { containerPort: 8001 } },
  'GET /sandbox/{sandboxId}/ports': { scope: 'sandbox:read' },
  'GET /sandbox/{sandboxId}/network': { scope: 'sandbox:read' },
  'PUT /sandbox/{sandboxId}/network': { scope: 'sandbox:write', body: { network: 'none' } },

  // What ends something comes last, as the owner does these in this order.
  'DELETE /sandbox/{sandboxId}/ports/{containerPort}': { scope: 'sandbox:write' },
  'DELETE /sandbox/{sandboxId}/entries': { scope: 'files', query: 'path=kept' },
  'GET /client/{sandboxId}': { owner: 101 },
  'GET /api/admin/users': { scope: 'admin' },
  'PATCH /api/admin/users/{id}': { scope: 'admin', body: { tier: 'pro' } },
  'GET /api/admin/sandboxes': { scope: 'admin' },
  'GET /sandbox/system/stats': { scope: 'admin' },
  'POST /sandbox/system/drain': { scope: 'admin', body: { draining: false } },
  'POST /sandbox/system/cleanup': { scope: 'admin', body: {} },
  'GET /api/admin/keys': { scope: 'admin' },
  'DELETE /api/admin/keys/{id}': { scope: 'admin' },
  'DELETE /api/admin/sandboxes/{id}': { scope: 'admin' },
  'POST /sandbox/{sandboxId}/destroy': { scope: 'sandbox:write' },
  'DELETE /sandbox/{sandboxId}': { scope: 'sandbox:write' },
  'DELETE /api/users/me': { scope: 'keys', query: 'confirm={userId}', owner: 204 },
};

// The scope that each message of a WebSocket needs. Those that give a stream of the socket's own
// back, or up, need none.
export const messages = {
  exec: 'exec', attach: 'exec', dial: 'exec', input: 'exec', closeStdin: 'exec', resize: 'exec', signal: 'exec', ps: 'exec',
  lookup: 'exec', closeSession: 'exec',
  stats: 'sandbox:read',
  upload: 'files', download: 'files', watch: 'files', write: 'files', read: 'files', list: 'files', stat: 'files', mkdir: 'files',
  rename: 'files', copy: 'files', remove: 'files',
};
