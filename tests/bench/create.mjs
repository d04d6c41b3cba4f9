// From the request to a usable sandbox, beside what the engine alone takes to create and start a
// container of the same image with the same settings. The two take turns.
import { createSandbox, destroySandbox, exec } from '../support/api.mjs';
import { docker, until } from '../support/stack.mjs';
import { removeContainer, startContainer, withBodyLike } from './engine.mjs';
import { inMs, median, spread, timed } from './statistics.mjs';

const ROUNDS = 15;
async function floor(body) {
  const [ms, id] = await timed(() => startContainer(body));
  await removeContainer(id);
  return ms;
}

async function ours(template) {
  const [ms, { sandboxId }] = await timed(() => createSandbox({ template }));
  const [firstExec] = await timed(() => exec(sandboxId, 'true'));
  await destroySandbox(sandboxId);
  await until('its container is gone', async () => await docker('ps', '-aq', '--filter',
    `label=insien.sandbox=${sandboxId}`) === '', 10_000);
  return [ms, firstExec];
}

async function measureTemplate(template) {
  const floors = [];
  const creates = [];
  const firstExecs = [];
  await withBodyLike({ template }, async (body) => {
    await floor(body);
    for (let i = 0; i < ROUNDS; i += 1) {
      floors.push(await floor(body));
      const [create, firstExec] = await ours(template);
      creates.push(create);
      firstExecs.push(firstExec);
    }
  });
  const over = (median(creates) / median(floors) - 1) * 100;
  return [
    { what: `engine create + start, ${template} (floor)`, measured: spread(floors) },
    { what: `create → usable, ${template}`, measured: spread(creates) },
    { what: '  over the floor', measured: `${over.toFixed(0)} %`, goal: '≤ 25 %' },
    { what: '  first exec', measured: inMs(median(firstExecs)), goal: 'p50 ≤ 3 ms' },
  ];
}

export async function measure() {
  return [...await measureTemplate('base'), ...await measureTemplate('tiny')];
}
