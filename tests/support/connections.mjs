// Requests over http: and https: alike, on connections that are kept for the next one.
import http from 'node:http';
import https from 'node:https';

let certificates; // that the machine does not trust by itself

// From now on connections to who has one of these (PEM) are fine; undefined: as at first.
export function trust(pems) {
  certificates = pems;
}
export const trusted = () => ({ ca: certificates });

export const agents = (maxSockets) => ({
  'http:': new http.Agent({ keepAlive: true, maxSockets }),
  'https:': new https.Agent({ keepAlive: true, maxSockets }),
});

export function request(url, options, onReply) {
  return url.protocol === 'https:'
    ? https.request(url, { ...trusted(), ...options }, onReply) : http.request(url, options, onReply);
}
