/*
 * Participants in one headless Chromium, driven by lines of JSON: {"id", "page", "call", "args"} on standard input,
 * {"id", "ok", "result" | "error"} and {"page", "event", …} on standard output. A page is opened by its first call; the
 * calls are those of window.api in page.js, and "close". Ends with its standard input.
 */
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { mkdtemp, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const here = path.dirname(fileURLToPath(import.meta.url));
const FILES = {
  '/page.html': ['page.html', 'text/html'],
  '/page.js': ['page.js', 'text/javascript'],
  '/e2ee.js': ['e2ee.js', 'text/javascript'],
  '/e2ee.worker.js': ['e2ee.worker.js', 'text/javascript'],
  '/livekit.worker.js': ['node_modules/livekit-client/dist/livekit-client.e2ee.worker.mjs', 'text/javascript'],
  '/janus.js': ['node_modules/janus-gateway/npm/dist/janus.es.js', 'text/javascript'],
  '/adapter.js': ['node_modules/webrtc-adapter/out/adapter.js', 'text/javascript'],
};

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

const server = createServer(async (request, response) => {
  const entry = FILES[new URL(request.url, 'http://localhost').pathname];
  if (!entry) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { 'Content-Type': entry[1] }).end(await readFile(path.join(here, entry[0])));
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));

const profile = await mkdtemp(path.join(tmpdir(), 'steno-chromium-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  // Its own handlers would end the browser before a page could leave its room.
  handleSIGINT: false, handleSIGTERM: false,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--allow-loopback-in-peer-connection',
    '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
    '--autoplay-policy=no-user-gesture-required', '--disable-features=WebRtcHideLocalIpsWithMdns',
    '--disable-background-timer-throttling', '--disable-renderer-backgrounding',
    '--disable-backgrounding-occluded-windows',
  ],
});

const pages = new Map();
function page(name) {
  if (!pages.has(name)) {
    pages.set(name, (async () => {
      const p = await browser.newPage();
      p.on('pageerror', (error) => say({ page: name, event: 'error', error: String(error) }));
      p.on('console', (m) => ['error', 'warning'].includes(m.type()) && say({ page: name, event: 'console', text: m.text() }));
      const ready = new Promise((done) => p.exposeFunction('stenoTell', (detail) => {
        if (detail.event === 'ready')
          done();
        else
          say({ page: name, ...detail });
      }).then(() => p.goto(`http://127.0.0.1:${server.address().port}/page.html`)));
      await ready;
      return p;
    })());
  }
  return pages.get(name);
}

async function run(command) {
  const p = await page(command.page);
  if (command.call === 'close') {
    pages.delete(command.page);
    await p.close();
    return null;
  }
  return p.evaluate(([call, args]) => window.api[call](args), [command.call, command.args ?? {}]);
}

say({ event: 'started', version: browser.browser()?.version() ?? null });
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  run(command).then((result) => say({ id: command.id, ok: true, result: result ?? null }),
                    (error) => say({ id: command.id, ok: false, error: String(error) }));
}
await browser.close();
server.close();
await rm(profile, { recursive: true, force: true });
