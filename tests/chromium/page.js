/*
 * A participant of the tests: publishes a picture that tells its own frame number and a sound that beeps when the picture
 * flashes, with janus.js.
 *
 * Frame n is drawn when the audio clock passes origin + n / fps; the sound loops once a second from the same origin. So
 * frame k * fps flashes white with the beep of second k, and every frame tells what its time should be. The picture:
 *
 *   0 – 25 % of the height   barcode: 26 columns, most significant first: 18 bits number, 4 bits tag, 4 bits check
 *   25 – 50 %                the same, inverted
 *   50 – 100 %               black, or white while it flashes, with a small moving block so that no two frames are alike
 */
import Janus from '/janus.js';
import { Encryption, demandEncryption } from '/e2ee.js';

const COLUMNS = 26;
const BEEP_SECONDS = 0.05;
const FLASH_FRAMES = 3;
const STALL_SECONDS = 0.06;

function check(number, tag) {
  let sum = 5;
  for (let v = number * 16 + tag; v > 0; v = Math.floor(v / 16))
    sum = (sum * 3 + (v % 16)) % 16;
  return sum;
}

function draw(canvas, number, tag, flash) {
  const { width, height } = canvas;
  const c = canvas.getContext('2d', { alpha: false });
  const bits = ((number % 262144) * 16 + tag) * 16 + check(number % 262144, tag);
  const quarter = Math.round(height / 4);
  for (let i = 0; i < COLUMNS; i++) {
    const one = Math.floor(bits / 2 ** (COLUMNS - 1 - i)) % 2;
    const x = Math.round((i * width) / COLUMNS);
    const w = Math.round(((i + 1) * width) / COLUMNS) - x;
    c.fillStyle = one ? '#fff' : '#000';
    c.fillRect(x, 0, w, quarter);
    c.fillStyle = one ? '#000' : '#fff';
    c.fillRect(x, quarter, w, quarter);
  }
  c.fillStyle = flash ? '#fff' : '#000';
  c.fillRect(0, 2 * quarter, width, height - 2 * quarter);
  const side = Math.max(8, Math.round(height / 12));
  c.fillStyle = '#808080';
  c.fillRect((number * 5) % (width - side), height - side - 4, side, side);
}

/*
 * The audio context's time, finer than its steps: the least difference to the steady clock lately seen. Where the sound
 * stood still (a starved machine), that starts anew, so that the picture waits for the sound.
 */
class AudioClock {
  constructor(context) {
    this.context = context;
    this.seen = [];
  }
  now() {
    const real = performance.now() / 1000;
    const difference = real - this.context.currentTime;
    if (this.seen.length && difference - this.seen[0][1] > STALL_SECONDS)
      this.seen = [];
    while (this.seen.length && this.seen[this.seen.length - 1][1] >= difference)
      this.seen.pop();
    this.seen.push([real, difference]);
    while (this.seen[0][0] < real - 2)
      this.seen.shift();
    return real - this.seen[0][1];
  }
}

class Source {
  constructor(options) {
    this.options = options;
    this.canvas = document.createElement('canvas');
    this.canvas.width = options.width;
    this.canvas.height = options.height;
    document.getElementById('stage').append(this.canvas);
    this.drawn = [];
    this.lateness = [];
    this.stopped = false;
  }

  async start() {
    this.context = new AudioContext({ sampleRate: 48000 });
    await this.context.resume();
    const rate = this.context.sampleRate;
    const buffer = this.context.createBuffer(1, rate, rate);
    const data = buffer.getChannelData(0);
    const hz = 800 + 200 * this.options.tag;
    for (let i = 0; i < rate; i++)
      data[i] = i < BEEP_SECONDS * rate ? 0.7 * Math.sin((2 * Math.PI * hz * i) / rate)
                                        : 0.01 * Math.sin((2 * Math.PI * 300 * i) / rate);
    this.destination = this.context.createMediaStreamDestination();
    const loop = new AudioBufferSourceNode(this.context, { buffer, loop: true });
    loop.connect(this.destination);
    this.origin = Math.ceil(this.context.currentTime + 0.3);
    loop.start(this.origin);
    this.audioTrack = this.destination.stream.getAudioTracks()[0];
    this.stream = this.canvas.captureStream(0);
    this.videoTrack = this.stream.getVideoTracks()[0];
    this.videoTrack.contentHint = 'detail';
    this.clock = new AudioClock(this.context);
    this.next = 0;
    this.tick();
    while (this.next < 2)
      await new Promise((wake) => setTimeout(wake, 10));
  }

  tick() {
    if (this.stopped)
      return;
    const { fps, tag } = this.options;
    const now = this.clock.now() - this.origin;
    const due = Math.floor(now * fps + 1e-6);
    if (due >= this.next && due >= 0) {
      // A frame that should have been drawn long ago is left out: its number never appears.
      this.next = due;
      draw(this.canvas, this.next, tag, this.next % fps < FLASH_FRAMES);
      this.videoTrack.requestFrame();
      this.drawn.push([this.next, Math.round((performance.timeOrigin + performance.now()) * 1000)]);
      this.lateness.push(now - this.next / fps);
      this.next++;
    }
    const wait = (this.next / fps - (this.clock.now() - this.origin)) * 1000;
    setTimeout(() => this.tick(), Math.max(0, wait));
  }

  stop() {
    this.stopped = true;
    this.videoTrack?.stop();
    this.audioTrack?.stop();
    this.context?.close();
    this.canvas.remove();
  }
}

let janus = null;
let handle = null;
let options = null;
let sources = [];
let published = null;
let encryption = null;
const tell = (event, detail) => window.stenoTell?.({ event, ...detail });

function send(message, jsep) {
  return new Promise((success, error) => handle.send({ message, jsep, success, error: (e) => error(new Error(e)) }));
}

function create(settings) {
  return new Promise((done, failed) => {
    const session = new Janus({
      server: settings.server, token: settings.token, apisecret: settings.apiSecret, iceServers: [],
      success: () => done(session), error: (e) => failed(new Error(String(e))),
      destroyed: () => tell('destroyed', {}),
    });
  });
}

function attach() {
  return new Promise((done, failed) => {
    const waiting = { joined: null, configured: null };
    const resolve = (name, value) => { const f = waiting[name]; waiting[name] = null; f?.(value); };
    janus.attach({
      plugin: 'janus.plugin.videoroom',
      success: (h) => { handle = h; handle.waiting = waiting; done(); },
      error: (e) => failed(new Error(String(e))),
      webrtcState: (on) => { tell('webrtc', { on }); if (on) published?.(); },
      mediaState: (medium, on, mid) => tell('media', { medium, on, mid }),
      onmessage: (message, jsep) => {
        if (jsep)
          handle.handleRemoteJsep({ jsep });
        if (message.videoroom === 'joined')
          resolve('joined', message);
        if (message.configured)
          resolve('configured', message);
        if (message.error) {
          const f = waiting.failed;
          waiting.failed = null;
          f?.(new Error(`${message.error_code}: ${message.error}`));
        }
      },
    });
  });
}

function offer(tracks) {
  return new Promise((success, error) => handle.createOffer({ tracks, success, error: (e) => error(new Error(String(e))) }));
}

function configured(message, jsep) {
  return new Promise((done, failed) => {
    handle.waiting.configured = done;
    handle.waiting.failed = failed;
    send(message, jsep).catch(failed);
  });
}

function videoTrack(source, add) {
  const track = { type: 'video', capture: source.videoTrack, recv: false, codec: options.codec };
  if (add)
    track.add = true;
  if (options.simulcast) {
    track.simulcast = true;
    track.sendEncodings = [
      /* From the highest, as Janus wants it: it counts its substreams the other way round. */
      { rid: 'h', active: true, maxBitrate: options.bitrate },
      { rid: 'm', active: true, maxBitrate: 150000, scaleResolutionDownBy: 2 },
      { rid: 'l', active: true, maxBitrate: 60000, scaleResolutionDownBy: 4 },
    ];
  } else {
    track.bitrate = options.bitrate;
  }
  return track;
}

/* Every sender's frames are encrypted from the first one on, when options.encryption says how. */
async function encrypt() {
  if (!options.encryption)
    return;
  encryption = new Encryption(options.encryption);
  await encryption.start();
  for (const t of handle.webrtcStuff.pc.getTransceivers())
    encryption.protect(t.sender, t.receiver.track.kind, options.codec);
}

function sender(kind, index = 0) {
  return handle.webrtcStuff.pc.getTransceivers().filter((t) => t.receiver.track.kind === kind)[index].sender;
}

window.api = {
  /* Starts to draw and sound, joins the room and publishes; done when media flows. Names in api.defaults. */
  async join(settings) {
    options = { codec: 'vp8', fps: 15, width: 320, height: 180, bitrate: 400000, tag: 0, display: 'participant',
                audio: true, video: true, simulcast: false, record: null, ...settings };
    await new Promise((done) => Janus.init({ debug: ['error', 'warn'], callback: done,
                                             dependencies: Janus.useDefaultDependencies({ adapter: window.adapter }) }));
    if (options.encryption)
      demandEncryption();
    const source = new Source(options);
    sources = [source];
    await source.start();
    janus = await create(options);
    await attach();
    const joined = await new Promise((done, failed) => {
      handle.waiting.joined = done;
      handle.waiting.failed = failed;
      send({ request: 'join', ptype: 'publisher', room: options.room, display: options.display, id: options.id,
             pin: options.pin, token: options.roomToken }).catch(failed);
    });
    if (!options.audio && !options.video)
      return { id: joined.id, origin: source.origin };
    const flowing = new Promise((done) => { published = done; });
    const tracks = [];
    if (options.audio)
      tracks.push({ type: 'audio', capture: source.audioTrack, recv: false });
    if (options.video)
      tracks.push(videoTrack(source));
    const jsep = await offer(tracks);
    await encrypt();
    const request = { request: 'publish', audiocodec: 'opus' };
    if (options.video)
      request.videocodec = options.codec;
    if (options.record)
      Object.assign(request, { record: true, filename: options.record });
    await configured(request, jsep);
    await flowing;
    return { id: joined.id, origin: source.origin };
  },

  async leave() {
    const log = this.drawn();
    for (const source of sources)
      source.stop();
    await send({ request: 'leave' });
    await new Promise((done) => janus.destroy({ success: done, error: done }));
    return log;
  },

  /* Stops sending: the sender has no track for a while, as when a camera is switched off. */
  async mute({ kind }) {
    await sender(kind).replaceTrack(null);
  },
  async unmute({ kind }) {
    await sender(kind).replaceTrack(kind === 'audio' ? sources[0].audioTrack : sources[0].videoTrack);
  },
  /* Sends silence or black, as most applications' mute buttons do. */
  async enable({ kind, on }) {
    (kind === 'audio' ? sources[0].audioTrack : sources[0].videoTrack).enabled = on;
  },

  /* Keys of options.encryption. */
  async setKey(key) {
    await encryption.setKey(key);
  },
  async ratchet(key) {
    encryption.ratchet(key);
  },

  async resize({ width, height }) {
    sources[0].canvas.width = width;
    sources[0].canvas.height = height;
  },

  /* A second picture, as when a screen is shared. Returns its number. */
  async addStream({ width = 320, height = 180, tag }) {
    const source = new Source({ ...options, width, height, tag });
    await source.start();
    sources.push(source);
    await configured({ request: 'configure' }, await offer([videoTrack(source, true)]));
    return sources.length - 1;
  },
  async removeStream({ stream }) {
    const transceivers = handle.webrtcStuff.pc.getTransceivers();
    const mid = transceivers.find((t) => t.sender.track === sources[stream].videoTrack).mid;
    await configured({ request: 'configure' }, await offer([{ type: 'video', mid, remove: true }]));
    sources[stream].stop();
  },

  /* What was drawn: [number, wall µs] a frame; how late each was against the audio clock, in s. */
  drawn() {
    return sources.map((s) => ({ drawn: s.drawn, lateness: s.lateness }));
  },

  async stats() {
    const found = [];
    for (const r of (await handle.webrtcStuff.pc.getStats()).values())
      if (r.type === 'outbound-rtp')
        found.push({ kind: r.kind, rid: r.rid, framesEncoded: r.framesEncoded, framesSent: r.framesSent,
                     packetsSent: r.packetsSent, retransmitted: r.retransmittedPacketsSent, bytesSent: r.bytesSent,
                     pliCount: r.pliCount, nackCount: r.nackCount, width: r.frameWidth, height: r.frameHeight,
                     limited: r.qualityLimitationReason, encoder: r.encoderImplementation });
    return found;
  },

  codecs() {
    return [...new Set(RTCRtpSender.getCapabilities('video').codecs.map((c) => c.mimeType))];
  },
};
tell('ready', {});
