// The network of a sandbox, as tests change it and look at what it reaches.
import assert from 'node:assert/strict';
import { call, exec } from './api.mjs';
import { docker, instance, run, sql, until } from './stack.mjs';

export const table = `insien_${instance.replaceAll('-', '_')}`;
export const restrictedNetwork = `insien-${instance}-restricted`;

export const set = (id, network, allow, options) => call('PUT', `/sandbox/${id}/network`, {
  body: { network, ...(allow === undefined ? {} : { allow }) }, ...options,
});
export async function mustSet(id, network, allow) {
  const reply = await set(id, network, allow);
  assert.equal(reply.status, 200, reply.text);
  return reply.json;
}

// Nobody says that something is closed: it is not heard of for so long.
export const reaches = async (id, host, port, patienceS = 10) => (
  await exec(id, 'timeout', [`${patienceS}`, 'bash', '-c', `: </dev/tcp/${host}/${port}`])).exitCode === 0;
export const isClosed = async (id, host, port) => !await reaches(id, host, port, 1);

export const networksOf = async (id) => Object.keys(JSON.parse(
  await docker('inspect', '--format', '{{json .NetworkSettings.Networks}}', `insien-${id}`)));
export const settled = (id) => until(`the network of ${id} is as its row says`, async () => await sql(
  `SELECT network_applied = network_version FROM sandboxes WHERE id = '${id}'`) === 't', 30_000);

// How nftables calls the chain of a sandbox.
export async function chainOf(id) {
  const address = await sql(`SELECT host(network_address) FROM sandboxes WHERE id = '${id}'`);
  return `box_${address.split('.').map((part) => Number(part).toString(16).padStart(2, '0')).join('')}`;
}
export const hasChain = async (chain) => (await run('nft', ['list', 'chain', 'inet', table, chain])).code === 0;
