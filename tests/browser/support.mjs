// What the stories stand on: a service of their own, people, a line that can be cut, a browser.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BINARY = process.env.TERTULIA_BINARY ?? join(ROOT, 'target/debug/tertulia');
export const PASSWORD = 'correct horse 7';
/** Only a failure waits this long. */
const DEADLINE = 20_000;

/** Settings under which a story is never told to wait. */
export const UNLIMITED = {
  MESSAGES_PER_MINUTE: 0,
  FRAMES_PER_SECOND: 0,
  CHANGES_PER_MINUTE: 0,
  HISTORY_PER_MINUTE: 0,
  ROOMS_PER_HOUR: 0,
  REGISTRATIONS_PER_HOUR: 0,
};

function environment(dir, settings) {
  const own = { DATA_DIR: dir, BIND: '127.0.0.1:0', PASSWORD_COST: 4, LOG: 'info', LOG_FORMAT: 'json', DRAIN: '1s', ...settings };
  const named = Object.entries(own).map(([name, value]) => [`TERTULIA_${name}`, String(value)]);
  return { PATH: process.env.PATH, ...Object.fromEntries(named) };
}

/** A service on a port and in a directory of its own. */
export async function startServer(settings = {}) {
  const dir = await mkdtemp(join(tmpdir(), 'tertulia-story-'));
  const child = spawn(BINARY, ['serve'], { cwd: dir, env: environment(dir, settings), stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  const url = await new Promise((resolve, reject) => {
    const hear = (bytes) => {
      log += bytes;
      const found = log.match(/listening on (http:\/\/[\d.:]+)/);
      if (found) resolve(found[1]);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`the service ended with ${code}: ${log}`)));
  });
  const server = {
    url,
    dir,
    log: () => log,
    /** Runs the program beside the service. */
    run: (args, input = '') => run(args, input, environment(dir, settings), dir),
    async person(username, names = {}) {
      await ask(url, 'POST', '/api/users/', { username, password: PASSWORD, ...names });
      return signedIn(url, username);
    },
    /** Tokens of a session more. */
    signIn: (username) => ask(url, 'POST', '/api/token/', { username, password: PASSWORD }),
    async operator(username) {
      await server.run(['user', 'create', username, '--staff', '--password-stdin'], `${PASSWORD}\n`);
      return signedIn(url, username);
    },
    async stop() {
      const ended = new Promise((resolve) => child.on('exit', resolve));
      child.kill('SIGTERM');
      await ended;
      await rm(dir, { recursive: true, force: true });
    },
  };
  return server;
}

function run(args, input, env, cwd) {
  return new Promise((resolve, reject) => {
    const child = spawn(BINARY, args, { cwd, env });
    let output = '';
    child.stdout.on('data', (bytes) => (output += bytes));
    child.stderr.on('data', (bytes) => (output += bytes));
    child.on('exit', (code) => (code === 0 ? resolve(output) : reject(new Error(`${args.join(' ')}: ${output}`))));
    child.stdin.end(input);
  });
}

async function ask(url, method, path, body, access) {
  const headers = { 'Content-Type': 'application/json', ...(access ? { Authorization: `Bearer ${access}` } : {}) };
  const response = await fetch(url + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

/** Somebody who has signed in, with what they do over REST. */
async function signedIn(url, username) {
  const tokens = await ask(url, 'POST', '/api/token/', { username, password: PASSWORD });
  const rest = (method, path, body) => ask(url, method, path, body, tokens.access);
  const { id } = await rest('GET', '/api/users/me/');
  return {
    id,
    username,
    tokens,
    rest,
    group: (name, others) => rest('POST', '/api/chats/', { kind: 'group', name, members: others.map((other) => other.id) }),
    personal: (other) => rest('POST', '/api/chats/', { kind: 'personal', members: [other.id] }),
    say: (chat, text) => rest('POST', `/api/chats/${chat}/messages/`, { text }),
    /** All texts of a chat, the oldest first. */
    async texts(chat) {
      const texts = [];
      for (let path = `/api/chats/${chat}/messages/?before=&page_size=100`; path; ) {
        const page = await rest('GET', path);
        texts.push(...page.results.map((message) => message.text));
        path = page.next && new URL(page.next).pathname + new URL(page.next).search;
      }
      return texts.reverse();
    },
  };
}

/** A line to the service that can be cut: `cut` breaks what is open, `down` until `up` breaks all that is tried. */
export async function tunnel(url) {
  const { hostname, port } = new URL(url);
  const open = new Set();
  let isDown = false;
  const server = net.createServer((near) => {
    if (isDown) return near.destroy();
    const far = net.connect(Number(port), hostname);
    for (const [one, other] of [[near, far], [far, near]]) {
      open.add(one);
      one.on('data', (bytes) => other.write(bytes));
      one.on('close', () => {
        open.delete(one);
        other.destroy();
      });
      one.on('error', () => {});
    }
    return undefined;
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref(); // a story that fails leaves it open
  const cut = () => {
    for (const socket of open) socket.resetAndDestroy();
  };
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    cut,
    down() {
      isDown = true;
      cut();
    },
    up() {
      isDown = false;
    },
    async close() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Resolves once `condition` holds; what it says when it never does. */
export async function until(what, condition) {
  const end = Date.now() + DEADLINE;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
