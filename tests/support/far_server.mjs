// The servers of tests/support/far.mjs: {ports, nameServer, names} as JSON in the first argument.
// Prints "ready", and a line "asked <name> <type>" for each question.
import dgram from 'node:dgram';
import net from 'node:net';
import { once } from 'node:events';

const { ports, nameServer, names } = JSON.parse(process.argv[2]);

function echoOver(port) {
  const tcp = net.createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(port, '0.0.0.0');
  const udp = dgram.createSocket('udp4').bind(port);
  udp.on('message', (bytes, from) => udp.send(bytes, from.port, from.address));
  return [once(tcp, 'listening'), once(udp, 'listening')];
}

// RFC 1035: one question, its name not compressed.
function readQuestion(packet) {
  const labels = [];
  let at = 12;
  while (packet[at] !== 0) {
    labels.push(packet.toString('latin1', at + 1, at + 1 + packet[at]));
    at += 1 + packet[at];
  }
  return { name: labels.join('.').toLowerCase(), type: packet.readUInt16BE(at + 1), end: at + 5 };
}

function answer(packet) {
  const { name, type, end } = readQuestion(packet);
  console.log(`asked ${name} ${type}`);
  const addresses = type === 1 ? names[name] ?? [] : [];
  const header = Buffer.from(packet.subarray(0, 12));
  header.writeUInt16BE(name in names ? 0x8180 : 0x8183, 2);
  header.writeUInt16BE(addresses.length, 6);
  header.writeUInt32BE(0, 8);
  const records = addresses.map((address) => Buffer.from([
    0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)]));
  return Buffer.concat([header, packet.subarray(12, end), ...records]);
}

const listening = ports.flatMap(echoOver);
if (nameServer !== undefined) {
  const server = dgram.createSocket('udp4').bind(53, nameServer);
  server.on('message', (packet, from) => server.send(answer(packet), from.port, from.address));
  listening.push(once(server, 'listening'));
}
await Promise.all(listening);
console.log('ready');
