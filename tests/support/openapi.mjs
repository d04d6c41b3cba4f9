// What GET /openapi.json promises, to hold the service to it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import Ajv2020 from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { root } from './stack.mjs';

export const document = JSON.parse(readFileSync(path.join(root, 'gateway/native/openapi.json'), 'utf8'));

const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats(ajv);
ajv.addSchema({ $id: 'api', components: document.components });

const absolute = (value) => JSON.parse(JSON.stringify(value).replaceAll('"#/components/', '"api#/components/'));
const validators = new Map();

// {segments, item} of each path; the literal ones first.
const templates = Object.entries(document.paths)
  .map(([template, item]) => ({ template, item, pattern: new RegExp(`^${template.replace(/\{[^}]+\}/g, '[^/]+')}$`) }))
  .sort((a, b) => a.template.split('{').length - b.template.split('{').length);

function responseOf(operation, status) {
  const response = operation.responses[status];
  return response?.$ref ? document.components.responses[response.$ref.split('/').pop()] : response;
}

// Fails when an answer is not one that the document describes. Addresses and methods that are not
// in it, which tests ask for too, must answer with an error.
export function checkAnswer(method, url, reply) {
  const { pathname } = new URL(url, 'http://localhost');
  const found = templates.find(({ pattern }) => pattern.test(pathname));
  const operation = found?.item[(method === 'HEAD' ? 'GET' : method).toLowerCase()];
  const where = `${method} ${pathname}: ${reply.status}`;
  if (operation === undefined) {
    assert.ok(reply.status >= 400, `${where} is not described`);
    return;
  }
  const response = responseOf(operation, reply.status);
  // What the framing of a request is refused with is the same everywhere.
  if (response === undefined && [400, 405, 408, 413, 414, 415, 417, 431, 501, 505].includes(reply.status)) {
    checkJson('error', document.components.schemas.Error, reply, where);
    return;
  }
  assert.ok(response, `${where} is not described`);
  const type = (reply.headers['content-type'] ?? '').split(';')[0];
  const content = response.content?.[type];
  if (method !== 'HEAD' && response.content !== undefined && reply.text !== '') {
    assert.ok(content || response.content['application/octet-stream'], `${where} with the content type ${type} is not described`);
  }
  if (method !== 'HEAD' && type === 'application/json' && content !== undefined) {
    checkJson(`${method} ${found.template} ${reply.status}`, content.schema, reply, where);
  }
}

// Fails when an event of a stream is none that the document describes.
export function checkEvent(event) {
  const schemas = ['StreamEvent', 'WatchEvent'].map((name) => document.components.schemas[name]);
  checkJson('event', { anyOf: schemas }, { json: event, text: JSON.stringify(event) }, `event ${event.type}`);
}

function checkJson(name, schema, reply, where) {
  if (!validators.has(name)) {
    validators.set(name, ajv.compile(absolute(schema)));
  }
  const validate = validators.get(name);
  assert.ok(validate(reply.json), `${where}: ${ajv.errorsText(validate.errors)}: ${reply.text.slice(0, 500)}`);
}
