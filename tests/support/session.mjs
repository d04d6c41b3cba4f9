// Session tokens as Clerk would sign them, from the stand-in that tests/run starts.
import http from 'node:http';

const port = process.env.CLERK_STAND_IN_PORT ?? '4302';

function ask(path, body) {
  const bytes = Buffer.from(JSON.stringify(body));
  return new Promise((resolve, reject) => {
    const request = http.request({
      host: '127.0.0.1', port, path, method: 'POST', timeout: 5000,
      headers: { 'Content-Type': 'application/json', 'Content-Length': bytes.length },
    }, (reply) => {
      let text = '';
      reply.on('data', (chunk) => { text += chunk; });
      reply.on('end', () => resolve(JSON.parse(text)));
    });
    request.on('error', reject);
    request.end(bytes);
  });
}

// What is not given is as in a token of a person who is signed in: {sub, ttl, claims, header, key}.
export const sessionToken = async (options) => (await ask('/__stub/token', options)).token;
