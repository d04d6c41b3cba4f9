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

// The codes of errors that README.md lists.
const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
const codes = new Set(/^\| status \| codes \|\n((?:\|.*\n)+)/m.exec(readme)[1].match(/(?<=`)[a-z0-9_]+(?=`)/g));
const isError = (json) => typeof json?.code === 'string' && typeof json.requestId === 'string';

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

// Fails when an event of a stream is none that the document describes. lastEventId is not of the
// event: server-sent ones come with it.
export function checkEvent({ lastEventId: _, ...event }) {
  const schemas = ['StreamEvent', 'WatchEvent', 'SandboxEvent'].map((name) => document.components.schemas[name]);
  checkJson('event', { anyOf: schemas }, { json: event, text: JSON.stringify(event) }, `event ${event.type}`);
}

// A schema and those it is made of, in one list.
function partsOf(schema) {
  const named = schema.$ref === undefined ? [] : [document.components.schemas[schema.$ref.split('/').pop()]];
  const parts = [...named, ...schema.allOf ?? [], ...schema.anyOf ?? [], ...schema.oneOf ?? []];
  return [schema, ...parts.flatMap(partsOf)];
}

// The members of a value that none of these schemas names, where they name any at all.
function unnamedIn(schemas, value, where) {
  const parts = schemas.flatMap(partsOf);
  if (Array.isArray(value)) {
    const items = parts.flatMap((part) => part.items ?? []);
    return value.flatMap((item, i) => unnamedIn(items, item, `${where}[${i}]`));
  }
  const named = parts.filter((part) => part.properties !== undefined);
  if (typeof value !== 'object' || value === null || named.length === 0 || parts.some((part) => part.additionalProperties)) {
    return [];
  }
  return Object.entries(value).flatMap(([name, member]) => {
    const schemasOfMember = named.flatMap((part) => part.properties[name] ?? []);
    return schemasOfMember.length === 0 ? [`${where}.${name}`] : unnamedIn(schemasOfMember, member, `${where}.${name}`);
  });
}

function checkJson(name, schema, reply, where) {
  if (!validators.has(name)) {
    validators.set(name, ajv.compile(absolute(schema)));
  }
  const validate = validators.get(name);
  assert.ok(validate(reply.json), `${where}: ${ajv.errorsText(validate.errors)}: ${reply.text.slice(0, 500)}`);
  assert.deepEqual(unnamedIn([schema], reply.json, ''), [], `${where}: members that are not described`);
  assert.ok(!isError(reply.json) || codes.has(reply.json.code), `${where}: README.md lacks the code ${reply.json?.code}`);
}
