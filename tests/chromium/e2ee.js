/*
 * A participant's encryption: what LiveKit's own worker, or e2ee.worker.js, does to encoded frames before they are
 * packetized. Keys are {index, passphrase | key (base64)}; the newest one is used.
 */
const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
const IDENTITY = 'sender';

export class Encryption {
  /* format: livekit, jitsi or sframe; options: keyBits, suite, ratchetBits; keys: the first ones. */
  constructor({ format, keys, keyBits = 128, suite = 4, managed = true, ratchetBits = 0 }) {
    this.format = format;
    this.livekit = format === 'livekit';
    this.worker = new Worker(this.livekit ? '/livekit.worker.js' : '/e2ee.worker.js', { type: 'module' });
    this.failed = new Promise((_, failed) => {
      this.worker.onerror = (e) => failed(new Error(`the worker: ${e.message}`));
      this.worker.addEventListener('message', ({ data }) => {
        if (data.kind === 'error')
          failed(new Error(`the worker: ${data.data.error?.message ?? data.data.error}`));
      });
    });
    this.failed.catch(() => {});
    if (this.livekit) {
      this.post('init', { loglevel: 'warn', keyProviderOptions: {
        sharedKey: true, ratchetSalt: 'LKFrameEncryptionKey', ratchetWindowSize: 8, failureTolerance: 10, keyringSize: 16,
        keySize: keyBits } });
      this.post('enable', { enabled: true, participantIdentity: IDENTITY });
    } else {
      this.post('init', { format, suite, managed, ratchetBits });
    }
    this.keys = keys;
  }

  post(kind, data) {
    this.worker.postMessage({ kind, data });
  }

  async start() {
    for (const key of this.keys)
      await this.setKey(key);
  }

  /* Frames from here on are under this key. */
  async setKey({ index = 0, passphrase, key }) {
    if (!this.livekit) {
      this.post('setKey', { index, key: bytes(key) });
      return;
    }
    const material = passphrase !== undefined
      ? await crypto.subtle.importKey('raw', new TextEncoder().encode(passphrase), 'PBKDF2', false, ['deriveBits', 'deriveKey'])
      : await crypto.subtle.importKey('raw', bytes(key), 'HKDF', false, ['deriveBits', 'deriveKey']);
    this.post('setKey', { isPublisher: true, participantIdentity: IDENTITY, key: material, keyIndex: index, updateCurrentKeyIndex: true });
  }

  ratchet({ index = 0 } = {}) {
    this.post(this.livekit ? 'ratchetRequest' : 'ratchet', { participantIdentity: IDENTITY, keyIndex: index });
  }

  /*
   * Chromium takes an RTCRtpScriptTransform and sends in the clear all the same, so encoded streams it is, as in LiveKit's
   * own client. The connection must have been made with encodedInsertableStreams; then nothing flows before this.
   */
  protect(sender, kind, codec) {
    const { readable, writable } = sender.createEncodedStreams();
    const data = { participantIdentity: IDENTITY, trackId: sender.track?.id ?? kind, codec: kind === 'video' ? codec : undefined,
                   hasPacketTrailer: false, readableStream: readable, writableStream: writable };
    this.worker.postMessage({ kind: 'encode', data }, [readable, writable]);
  }
}

/* Connections made from here on can be encrypted, and must be. */
export function demandEncryption() {
  const Plain = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Plain {
    constructor(configuration) {
      super({ ...configuration, encodedInsertableStreams: true });
    }
  };
}
