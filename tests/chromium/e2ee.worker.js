/*
 * Encrypts encoded frames as Jitsi does (H | AES-GCM | IV | 12 | key index), or as SFrame (RFC 9605, suites 4 and 5), with
 * WebCrypto alone: a second opinion on both formats.
 */
const text = (s) => new TextEncoder().encode(s);
const EMPTY = new Uint8Array(0);
let settings = null;
let current = null; /* {index, ...} the key in use */
let queue = Promise.resolve();
const counters = new Map();

function join(...parts) {
  const whole = new Uint8Array(parts.reduce((n, p) => n + p.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(new Uint8Array(part.buffer ?? part, part.byteOffset ?? 0, part.byteLength), at);
    at += part.byteLength;
  }
  return whole;
}

function bigEndian(value, bytes) {
  const out = new Uint8Array(bytes);
  for (let i = bytes - 1, v = BigInt(value); i >= 0; i--, v >>= 8n)
    out[i] = Number(v & 0xffn);
  return out;
}

async function hkdf(material, salt, info, bytes, hash = 'SHA-256') {
  const key = await crypto.subtle.importKey('raw', material, 'HKDF', false, ['deriveBits']);
  return new Uint8Array(await crypto.subtle.deriveBits({ name: 'HKDF', hash, salt, info }, key, bytes * 8));
}

const aes = (raw) => crypto.subtle.importKey('raw', raw, 'AES-GCM', false, ['encrypt']);

/* ---- Jitsi ------------------------------------------------------------------------------------------------------- */

async function jitsiKey(index, material) {
  const raw = settings.managed ? await hkdf(material, text('JFrameEncryptionKey'), EMPTY, 16) : material;
  return { index, material, key: await aes(raw) };
}

async function jitsiSeal(data, frame, count) {
  const clear = frame.type === undefined ? 1 : frame.type === 'key' ? 10 : 3;
  const head = data.subarray(0, clear);
  const iv = join(bigEndian(frame.getMetadata().synchronizationSource, 4), bigEndian(frame.timestamp >>> 0, 4),
                  bigEndian(count % 0xffff, 4));
  const sealed = await crypto.subtle.encrypt({ name: 'AES-GCM', iv, additionalData: head, tagLength: 128 }, current.key,
                                             data.subarray(clear));
  return join(head, sealed, iv, new Uint8Array([12, current.index]));
}

/* ---- SFrame ------------------------------------------------------------------------------------------------------ */

const hash = () => (settings.suite === 5 ? 'SHA-512' : 'SHA-256');

async function sframeKey(kid, material) {
  const id = join(bigEndian(kid, 8), bigEndian(settings.suite, 2));
  const raw = await hkdf(material, EMPTY, join(text('SFrame 1.0 Secret key '), id), settings.suite === 5 ? 32 : 16, hash());
  const salt = await hkdf(material, EMPTY, join(text('SFrame 1.0 Secret salt '), id), 12, hash());
  return { index: kid, material, key: await aes(raw), salt };
}

function minimal(value) {
  let bytes = 1;
  while (bytes < 8 && BigInt(value) >> BigInt(8 * bytes))
    bytes++;
  return bigEndian(value, bytes);
}

function sframeHeader(kid, ctr) {
  const k = kid < 8 ? null : minimal(kid), c = ctr < 8 ? null : minimal(ctr);
  const config = (k ? 0x80 | (k.length - 1) << 4 : kid << 4) | (c ? 0x08 | (c.length - 1) : ctr);
  return join(new Uint8Array([config]), k ?? EMPTY, c ?? EMPTY);
}

async function sframeSeal(data, frame, count) {
  const head = sframeHeader(current.index, count);
  const iv = bigEndian(count, 12).map((b, i) => b ^ current.salt[i]);
  const sealed = await crypto.subtle.encrypt({ name: 'AES-GCM', iv, additionalData: head, tagLength: 128 }, current.key, data);
  return join(head, sealed);
}

/* ---- keys and frames --------------------------------------------------------------------------------------------- */

async function setKey(index, material) {
  current = settings.format === 'jitsi' ? await jitsiKey(index, material) : await sframeKey(index, material);
}

async function ratchet() {
  if (settings.format === 'jitsi')
    await setKey(current.index, await hkdf(current.material, text('JFrameRatchetKey'), EMPTY, 32));
  else
    await setKey(current.index + 1, await hkdf(current.material, EMPTY, text('SFrame 1.0 Ratchet'),
                                               settings.suite === 5 ? 64 : 32, hash()));
}

onmessage = ({ data: { kind, data } }) => {
  queue = queue.then(async () => {
    if (kind === 'init')
      settings = data;
    else if (kind === 'setKey')
      await setKey(data.index, data.key);
    else if (kind === 'ratchet')
      await ratchet();
    else if (kind === 'encode')
      encode(data);
  }).catch((error) => postMessage({ kind: 'error', data: { error } }));
};

async function seal(frame, controller) {
  const data = new Uint8Array(frame.data);
  if (data.byteLength > 0) {
    /* A counter for all tracks of this sender: no two frames may have the same one under one key. */
    const count = counters.get('all') ?? 0;
    counters.set('all', count + 1);
    const whole = await (settings.format === 'jitsi' ? jitsiSeal : sframeSeal)(data, frame, count);
    frame.data = whole.buffer;
  }
  controller.enqueue(frame);
}

function encode({ readableStream, writableStream }) {
  readableStream
    .pipeThrough(new TransformStream({
      /* Keys change between frames, not within one. */
      transform: (frame, controller) => {
        const done = queue.then(() => seal(frame, controller));
        queue = done.catch(() => {});
        return done;
      },
    }))
    .pipeTo(writableStream)
    .catch((error) => postMessage({ kind: 'error', data: { error } }));
}
