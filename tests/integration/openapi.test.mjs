// GET /openapi.json, which the answers of all other tests are checked against (support/api.mjs).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { call } from '../support/api.mjs';
import { document } from '../support/openapi.mjs';
import { root } from '../support/stack.mjs';

describe('the description of the API', () => {
  it('is served without a key, as it is in the tree', async () => {
    const reply = await call('GET', '/openapi.json', { key: null });
    assert.equal(reply.status, 200);
    assert.deepEqual(reply.json, document);
  });

  it('is valid OpenAPI 3.1', async () => {
    const { valid, errors } = await new Validator().validate(document);
    assert.equal(document.openapi.slice(0, 3), '3.1');
    assert.ok(valid, JSON.stringify(errors, null, 2));
  });

  it('describes every route there is, and no other', () => {
    const source = readFileSync(path.join(root, 'gateway/native/routes.c'), 'utf8');
    const routes = [...source.matchAll(/\{HTTP_([A-Z]+), "(\/[^"]+)"/g)]
      .map(([, method, route]) => `${method} ${route.replaceAll(/\{[^}]+\}/g, '{}')}`);
    const described = Object.entries(document.paths).flatMap(([template, item]) => Object.keys(item)
      .map((method) => `${method.toUpperCase()} ${template.replaceAll(/\{[^}]+\}/g, '{}')}`));
    assert.ok(routes.length > 10);
    assert.deepEqual(described.sort(), [...new Set(routes)].sort());
  });

  it('says of every route with a JSON body that it may be too large, or something else', () => {
    const source = readFileSync(path.join(root, 'gateway/native/routes.c'), 'utf8');
    const plain = (route) => route.replaceAll(/\{[^}]+\}/g, '{}');
    const described = new Map(Object.entries(document.paths).map(([template, item]) => [plain(template), item]));
    const lacking = [...source.matchAll(/\{HTTP_([A-Z]+), "(\/[^"]+)",\s*([A-Z_ |]+),/g)]
      .filter(([, , , needs]) => needs.includes('ROUTE_JSON'))
      .filter(([, method, route]) => ['413', '415'].some((status) => !(status in described.get(plain(route))[method.toLowerCase()].responses)))
      .map(([, method, route]) => `${method} ${route}`);
    assert.deepEqual(lacking, []);
  });

  it('lets client tokens in where the routes do', () => {
    const source = readFileSync(path.join(root, 'gateway/native/routes.c'), 'utf8');
    const ofSandboxes = [...source.matchAll(/\{HTTP_([A-Z]+), "(\/[^"]+)",\s*([A-Z_ |]+),/g)]
      .filter(([, , route, needs]) => needs.includes('ROUTE_SANDBOX') && !/\/(token|fork|snapshots)$/.test(route))
      .map(([, method, route]) => `${method} ${route.replaceAll(/\{[^}]+\}/g, '{}')}`);
    const described = Object.entries(document.paths).flatMap(([template, item]) => Object.entries(item)
      .filter(([, operation]) => operation.security?.some((way) => 'client' in way))
      .map(([method]) => `${method.toUpperCase()} ${template.replaceAll(/\{[^}]+\}/g, '{}')}`));
    assert.ok(ofSandboxes.length > 20);
    assert.deepEqual(described.sort(), ofSandboxes.sort());
  });

  it('names every action of the audit trail', () => {
    const source = readFileSync(path.join(root, 'common/audit/record.c'), 'utf8');
    const actions = [...source.matchAll(/\[AUDIT_[A-Z_]+\] = "([a-z_]+(?:\.[a-z_]+)?)"/g)].map(([, name]) => name)
      .filter((name) => name.includes('.') || name === 'exec');
    assert.deepEqual([...document.components.schemas.AuditAction.enum].sort(), actions.sort());
  });

  it('gives every operation an answer, a summary and an id of its own', () => {
    const operations = Object.values(document.paths).flatMap((item) => Object.values(item));
    const ids = operations.map((operation) => operation.operationId);
    assert.equal(new Set(ids).size, ids.length);
    assert.ok(operations.every((operation) => operation.summary.length > 0));
  });
});
