// Runs the measurements that are named, or all, one after the other, and prints a table.
const all = ['create', 'pool', 'execute', 'exec', 'http', 'keys', 'limits', 'memory', 'streams', 'previews'];
const wanted = process.argv.length > 2 ? process.argv.slice(2) : all;

const rows = [];
for (const name of wanted) {
  const { measure } = await import(`./${name}.mjs`);
  rows.push(...await measure());
}

const columns = ['what', 'measured', 'goal'];
const cells = [columns, ...rows.map((row) => columns.map((column) => row[column] ?? ''))];
const widths = columns.map((_, i) => Math.max(...cells.map((row) => row[i].length)));
for (const row of cells) {
  console.log(row.map((cell, i) => cell.padEnd(widths[i])).join('  ').trimEnd());
}
process.exit(0); // sockets kept alive would hold it open
