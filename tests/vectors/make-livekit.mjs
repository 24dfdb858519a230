// Makes livekit.json: frames as LiveKit's and Jitsi's SDKs seal them, with WebCrypto, which those use as well. Key and
// ratchet are derived as they do it, in two derivations a step. Run: node make-livekit.mjs > livekit.json
import { webcrypto } from 'node:crypto';
const { subtle } = webcrypto;
const text = (s) => new TextEncoder().encode(s);
const hex = (b) => Buffer.from(b).toString('hex');
const base64 = (b) => Buffer.from(b).toString('base64');
const count = (n, first = 0) => Uint8Array.from({ length: n }, (_, i) => (first + i) & 0xff);

// Bytes that do not look like anything, the same each time.
let seed = 0x2545f491;
function noise(n) {
  return Uint8Array.from({ length: n }, () => {
    seed ^= seed << 13; seed ^= seed >>> 17; seed ^= seed << 5;
    return seed & 0xff;
  });
}

/* ---- keys ---- */
const LIVEKIT = { salt: text('LKFrameEncryptionKey'), info: new Uint8Array(128) };
const algorithm = {
  PBKDF2: (salt) => ({ name: 'PBKDF2', salt, hash: 'SHA-256', iterations: 100000 }),
  HKDF: (salt, info) => ({ name: 'HKDF', salt, info, hash: 'SHA-256' }),
};
const importFor = (kdf, bytes) => subtle.importKey('raw', bytes, kdf, false, ['deriveBits']);
async function livekitKeys(kdf, bytes, keyBits, steps, salt = LIVEKIT.salt) {
  const keys = [];
  for (let step = 0; step <= steps; step++) {
    const material = await importFor(kdf, bytes);
    keys.push(new Uint8Array(await subtle.deriveBits(algorithm[kdf](salt, LIVEKIT.info), material, keyBits)));
    bytes = await subtle.deriveBits(algorithm[kdf](salt, LIVEKIT.info), material, 256);
  }
  return keys;
}
async function jitsiKeys(bytes, steps) {
  const keys = [], empty = new Uint8Array(0);
  for (let step = 0; step <= steps; step++) {
    const material = await importFor('HKDF', bytes);
    keys.push(new Uint8Array(await subtle.deriveBits(algorithm.HKDF(text('JFrameEncryptionKey'), empty), material, 128)));
    bytes = await subtle.deriveBits(algorithm.HKDF(text('JFrameRatchetKey'), empty), material, 256);
  }
  return keys;
}

/* ---- frames ---- */
function escape(data) {
  const out = [];
  let zeros = 0;
  for (const byte of data) {
    if (byte <= 3 && zeros >= 2) { out.push(3); zeros = 0; }
    out.push(byte);
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return Uint8Array.from(out);
}
let sent = 0;
async function seal(key, kid, frame, clear, { rbsp = false, iv } = {}) {
  if (!iv) {
    const view = new DataView(new ArrayBuffer(12));
    view.setUint32(0, 0xdecade01);
    view.setUint32(4, 3000 * sent);
    view.setUint32(8, 3000 * sent - sent++);
    iv = new Uint8Array(view.buffer);
  }
  const header = frame.slice(0, clear);
  const aes = await subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt']);
  const ciphertext = await subtle.encrypt({ name: 'AES-GCM', iv, additionalData: header }, aes, frame.slice(clear));
  let rest = Uint8Array.from([...new Uint8Array(ciphertext), ...iv, iv.length, kid]);
  const plain = rest.length;
  if (rbsp) rest = escape(rest);
  return { sealed: Uint8Array.from([...header, ...rest]), escapes: rest.length - plain };
}
const start = [0, 0, 0, 1];
const nal = (header, n) => [...start, ...header, ...noise(n).map((b) => b | 4)]; // no zeros: nothing to escape
const h264 = (parameters, slice) => Uint8Array.from([...nal([0x67, 0x42], parameters), ...nal([0x68], 6), ...nal([0x65], slice)]);
const h264Delta = (slice) => Uint8Array.from([...nal([0x41], slice), ...nal([0x41], slice)]);
const h265 = (slice) => Uint8Array.from([...nal([0x40, 1], 20), ...nal([0x42, 1], 30), ...nal([0x44, 1], 6), ...nal([0x26, 1], slice)]);
// So many bytes are left of the frame, from the third one of the last NAL unit on, which is the slice.
const clearTo = (frame, size) => frame.length - size;

const cases = [];
async function add(name, format, keys, kid, steps, list) {
  const frames = [];
  for (const [codec, frame, clear, step = 0, options = {}] of list) {
    let { sealed, escapes } = await seal(steps[step], kid, frame, clear, options);
    for (let tries = 0; options.escaped && escapes < options.escaped && tries < 1e5; tries++)
      ({ sealed, escapes } = await seal(steps[step], kid, frame, clear, options));
    frames.push({ codec, step, escapes, plain: hex(frame), sealed: hex(sealed) });
  }
  cases.push({ name, format, kid, keys: { format, ...keys }, frames });
}

const vp8Key = Uint8Array.from([0x10, 2, 0, 0x9d, 1, 0x2a, 8, 0, 8, 0, ...noise(40)]);
const vp8Delta = Uint8Array.from([0x11, 2, 0, ...noise(30)]);
const opus = Uint8Array.from([0x78, ...noise(60)]);
const passphrase = await livekitKeys('PBKDF2', text('correct horse'), 128, 10);
await add('passphrase', 'livekit', { keys: [{ passphrase: 'correct horse' }] }, 0, passphrase, [
  ['opus', opus, 1], ['opus', opus.slice(0, 1), 1], ['pcmu', noise(160), 1], ['vp8', vp8Key, 10], ['vp8', vp8Delta, 3],
  ['vp9', noise(50), 0], ['av1', noise(50), 0],
]);
const key = h264(12, 60), big = h264(300, 60), delta = h264Delta(700), hevc = h265(60);
await add('H.264', 'livekit', { keys: [{ passphrase: 'correct horse', kid: 3 }] }, 3, passphrase, [
  ['h264', key, clearTo(key, 59), 0, { rbsp: true }],
  ['h264', key, clearTo(key, 59), 0, { rbsp: true, iv: Uint8Array.from([0, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 2]) }],
  ['h264', delta, 6, 0, { rbsp: true, escaped: 1 }],
  ['h264', big, clearTo(big, 59), 0, { rbsp: true }],
]);
await add('H.265', 'livekit', { keys: [{ passphrase: 'correct horse' }] }, 0, passphrase, [
  ['h265', hevc, clearTo(hevc, 60), 0, { rbsp: true }],
  ['h265', hevc, 0, 0, {}], // native, before it knew H.265
  ['h265', hevc, 0, 0, { iv: Uint8Array.from([0, 0, 3, 0, 0, 3, 9, 9, 9, 9, 9, 9]) }], // what looks like an escape
]);
const sei = Uint8Array.from(nal([0x06], 40));
await add('without a slice', 'livekit', { keys: [{ passphrase: 'correct horse' }] }, 0, passphrase, [
  ['h264', sei, 3], ['h264', sei, 10], ['h264', sei, 0, 0, { rbsp: true }],
  ['h264', sei, 0, 0, { rbsp: true, iv: Uint8Array.from([0, 0, 1, 0, 0, 3, 9, 9, 9, 9, 9, 9]) }],
]);
const ratchets = Array.from({ length: 11 }, (_, step) => ['opus', opus, 1, step]);
await add('ratchet, PBKDF2', 'livekit', { keys: [{ passphrase: 'correct horse' }] }, 0, passphrase, ratchets);
const raw = count(32);
await add('raw key', 'livekit', { keys: [{ key: base64(raw), kid: 255 }] }, 255, await livekitKeys('HKDF', raw, 128, 10), ratchets);
await add('raw key, 256 bits', 'livekit', { key_bits: 256, keys: [{ key: 'hex:' + hex(raw) }] }, 0,
  await livekitKeys('HKDF', raw, 256, 10), ratchets);
await add('raw key by PBKDF2 with another salt', 'livekit', { kdf: 'pbkdf2', salt: 'pepper', key_bits: 256, keys: [{ key: base64(raw) }] }, 0,
  await livekitKeys('PBKDF2', raw, 256, 1, text('pepper')), ratchets.slice(0, 2));
await add('passphrase by HKDF', 'livekit', { kdf: 'hkdf', keys: [{ passphrase: 'correct horse' }] }, 0,
  await livekitKeys('HKDF', text('correct horse'), 128, 1), ratchets.slice(0, 2));
const jitsi = [['opus', opus, 1], ['vp8', vp8Key, 10], ['vp8', vp8Delta, 3]];
await add('managed', 'jitsi', { keys: [{ key: base64(raw), kid: 15 }] }, 15, await jitsiKeys(raw, 10), [...jitsi, ...ratchets]);
await add('managed outside, 128 bits', 'jitsi', { kdf: 'none', keys: [{ key: base64(raw.slice(0, 16)) }] }, 0, [raw.slice(0, 16)], jitsi);
await add('managed outside, 256 bits', 'jitsi', { kdf: 'none', keys: [{ key: base64(raw) }] }, 0, [raw], jitsi);

console.log(JSON.stringify({
  source: 'made by make-livekit.mjs with WebCrypto, as client-sdk-js and lib-jitsi-meet seal; "known" from their tests',
  known: {
    frame: {
      from: "client-sdk-js, FrameCryptor.test.ts, 'decrypts frame with correct key'", passphrase: 'key1', codec: 'vp8',
      sealed: '0102030405060708090afe605b6fbb841f0ccf8811dde974ae063225d64777c4ffffffff00000000ffffc7330c01',
      plain: hex(count(16, 1)), clear_bytes: 10, key: '7adabac1db9abf018ef98fdc737f4f2f',
    },
    ratchet: {
      from: 'client-sdk-js, ParticipantKeyHandler.test.ts.snap', passphrase: 'password',
      keys: ['421890b1557504a8ea1a90c253b419e4', '9f3af7c94abca41d79f8c61e8dcff292'],
    },
    hkdf: {
      from: 'computed apart from this program, of the bytes 0 to 31',
      livekit_key: '6d0dd7b3d6f4efde47ab9a9e15abde76', livekit_next: hex(await subtle.deriveBits(algorithm.HKDF(LIVEKIT.salt, LIVEKIT.info), await importFor('HKDF', raw), 256)),
      jitsi_key: '0c0ad9b4d1b64fa17d88099f0747ad0f', jitsi_next: '9cd33ec25c547bf5cfe62de2a08f9b767369d9eeff69fa4964abecf1cbea2a71',
    },
  },
  cases,
}, null, 1));
