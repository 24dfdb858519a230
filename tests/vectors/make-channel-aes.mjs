#!/usr/bin/env node
// Makes channel-aes.json: frames of the formats of docs/CHANNEL-AES.md, sealed by an implementation that has nothing in
// common with the recorder's: WebCrypto, and XTS and SM4 written out here. node make-channel-aes.mjs > channel-aes.json
import { webcrypto } from "node:crypto";

const { subtle } = webcrypto;
const utf8 = (text) => new TextEncoder().encode(text);
const hex = (bytes) => [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
const bytesOf = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
const join = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));
const bigEndian = (number, bytes) =>
    Uint8Array.from({ length: bytes }, (_, i) => Number((BigInt(number) >> BigInt(8 * (bytes - 1 - i))) & 255n));
const xor = (a, b) => a.map((byte, i) => byte ^ b[i]);
// What is encrypted, told by its length: 0, 7, 14 …
const text = (bytes) => Uint8Array.from({ length: bytes }, (_, i) => (7 * i + bytes) & 255);

async function hmac(hash, key, data) {
    // WebCrypto has no HMAC with an empty key; one of zeros is the same (RFC 2104).
    const material = key.length ? key : new Uint8Array(1);
    const imported = await subtle.importKey("raw", material, { name: "HMAC", hash }, false, ["sign"]);
    return new Uint8Array(await subtle.sign("HMAC", imported, data));
}

async function hkdfExpand(hash, prk, info, length) {
    let out = new Uint8Array(0), block = new Uint8Array(0);
    for (let i = 1; out.length < length; i++) {
        block = await hmac(hash, prk, join(block, info, [i]));
        out = join(out, block);
    }
    return out.slice(0, length);
}

/* ---- block ciphers ----------------------------------------------------------------------------------------------- */

// One block of AES: what CBC makes of it after zeros.
async function aesBlock(key, block) {
    const imported = await subtle.importKey("raw", key, "AES-CBC", false, ["encrypt"]);
    return new Uint8Array(await subtle.encrypt({ name: "AES-CBC", iv: new Uint8Array(16) }, imported, block)).slice(0, 16);
}

// IEEE 1619: one data unit, with ciphertext stealing.
async function xts(key, tweak, data) {
    const half = key.length / 2, whole = Math.floor(data.length / 16), rest = data.length % 16, out = new Uint8Array(data.length);
    let mask = await aesBlock(key.slice(half), tweak);
    const crypt = async (block) => xor(await aesBlock(key.slice(0, half), xor(block, mask)), mask);
    for (let i = 0; i < whole; i++) {
        out.set(await crypt(data.slice(16 * i, 16 * i + 16)), 16 * i);
        const carry = mask[15] >> 7;
        mask = mask.map((byte, j) => ((byte << 1) & 255) | (j > 0 ? mask[j - 1] >> 7 : 0));
        mask[0] ^= carry ? 0x87 : 0;
    }
    if (rest > 0) {
        const last = out.slice(16 * (whole - 1), 16 * whole);
        out.set(await crypt(join(data.slice(16 * whole), last.slice(rest))), 16 * (whole - 1));
        out.set(last.slice(0, rest), 16 * whole);
    }
    return out;
}

const SM4_SBOX = bytesOf(
    "d690e9fecce13db716b614c228fb2c052b679a762abe04c3aa441326498606999c4250f491ef987a33540b43edcfac62" +
    "e4b31ca9c908e89580df94fa758f3fa64707a7fcf37317ba83593c19e6854fa8686b81b27164da8bf8eb0f4b70569d35" +
    "1e240e5e6358d1a225227c3b01217887d40046579fd327524c3602e7a0c4c89eeabf8ad240c738b5a3f7f2cef96115a1" +
    "e0ae5da49b341a55ad933230f58cb1e31df6e22e8266ca60c02923ab0d534e6fd5db3745defd8e2f03ff6a726d6c5b51" +
    "8d1baf92bbddbc7f11d95c411f105ad80ac13188a5cd7bbd2d74d012b8e5b4b08969974a0c96777e65b9f109c56ec684" +
    "18f07dec3adc4d2079ee5f3ed7cb3948");
const rotate = (word, by) => ((word << by) | (word >>> (32 - by))) >>> 0;
const words = (bytes) => [0, 4, 8, 12].map((i) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(i));

// GB/T 32907.
function sm4Block(key, block) {
    const box = (word) => [24, 16, 8, 0].reduce((all, at) => (all | (SM4_SBOX[(word >>> at) & 255] << at)) >>> 0, 0);
    const k = words(key).map((word, i) => (word ^ [0xa3b1bac6, 0x56aa3350, 0x677d9197, 0xb27022dc][i]) >>> 0);
    const x = words(block);
    for (let i = 0; i < 32; i++) {
        const constant = [0, 1, 2, 3].reduce((all, j) => ((all << 8) | ((7 * (4 * i + j)) & 255)) >>> 0, 0);
        const a = box((k[i + 1] ^ k[i + 2] ^ k[i + 3] ^ constant) >>> 0);
        k.push((k[i] ^ a ^ rotate(a, 13) ^ rotate(a, 23)) >>> 0);
        const b = box((x[i + 1] ^ x[i + 2] ^ x[i + 3] ^ k[i + 4]) >>> 0);
        x.push((x[i] ^ b ^ rotate(b, 2) ^ rotate(b, 10) ^ rotate(b, 18) ^ rotate(b, 24)) >>> 0);
    }
    return join(...[35, 34, 33, 32].map((i) => bigEndian(x[i], 4)));
}

async function ecb(block, data) {
    const out = [];
    for (let i = 0; i < data.length; i += 16)
        out.push(await block(data.slice(i, i + 16)));
    return join(...out);
}

/* ---- the formats with the names of Agora's API ------------------------------------------------------------------- */

const MODES = {
    "aes-128-xts": [1, 32], "aes-128-ecb": [2, 16], "aes-256-xts": [3, 64], "sm4-128-ecb": [4, 16],
    "aes-128-gcm": [5, 16], "aes-256-gcm": [6, 32], "aes-128-gcm2": [7, 16], "aes-256-gcm2": [8, 32],
};

async function frameKeys(format, secret, salt, kid) {
    const [mode, keyBytes] = MODES[format];
    const password = await subtle.importKey("raw", utf8(secret), "PBKDF2", false, ["deriveBits"]);
    const pbkdf2 = { name: "PBKDF2", hash: "SHA-256", salt: salt ?? utf8("Steno channel AES 1"), iterations: 100000 };
    const master = await subtle.importKey("raw", await subtle.deriveBits(pbkdf2, password, 256), "HKDF", false, ["deriveBits"]);
    const derive = async (label, bytes) => {
        const info = join(utf8(`Steno channel AES 1 ${label} `), [mode], bigEndian(kid, 2));
        return new Uint8Array(await subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info }, master, 8 * bytes));
    };
    return { key: await derive("key", keyBytes), check: await derive("check", 32) };
}

async function seal(format, keys, kid, count, plain) {
    const start = join([1, MODES[format][0]], bigEndian(kid, 2));
    if (format.includes("gcm")) {
        const iv = join(bigEndian(0xc0ffee00, 4), bigEndian(count, 8)), header = join(start, iv);
        const key = await subtle.importKey("raw", keys.key, "AES-GCM", false, ["encrypt"]);
        return join(header, new Uint8Array(await subtle.encrypt({ name: "AES-GCM", iv, additionalData: header }, key, plain)));
    }
    const header = join(start, bigEndian(plain.length, 4), bigEndian(count, 8));
    const isXts = format.endsWith("xts");
    const padded = new Uint8Array(isXts ? Math.max(16, plain.length) : 16 * Math.max(1, Math.ceil(plain.length / 16)));
    padded.set(plain);
    const block = async (data) => (format.startsWith("sm4") ? sm4Block(keys.key, data) : aesBlock(keys.key, data));
    const sealed = isXts ? await xts(keys.key, join(bigEndian(count, 8), new Uint8Array(8)), padded) : await ecb(block, padded);
    return join(header, (await aesBlock(keys.check, header)).slice(0, 8), sealed);
}

async function channelFrames() {
    const out = [], secret = "5e1f0000c0ffee11aa5e1f0000c0ffee11aa5e1f0000c0ffee11aa5e1f000042";
    for (const format of Object.keys(MODES).sort((a, b) => MODES[a][0] - MODES[b][0])) {
        const salt = format.endsWith("gcm2") ? text(32) : null;
        for (const kid of [0, 258]) {
            const keys = await frameKeys(format, secret, salt, kid);
            const key = { kid, secret, ...(salt && { salt: base64(salt) }) };
            const frames = [];
            for (const [count, bytes] of [[1, 0], [2, 1], [3, 15], [4, 16], [5, 17], [2n ** 64n - 1n, 80], [258, 333]])
                frames.push({ plain: hex(text(bytes)), frame: hex(await seal(format, keys, kid, count, text(bytes))) });
            out.push({ format, keys: { format, keys: [key] }, kid, key: hex(keys.key), frames });
        }
    }
    return out;
}

/* ---- SFrame: ratchets and MLS's key ids, of which RFC 9605 has no vectors ------------------------------------------ */

const SUITES = {
    1: ["SHA-256", 32, 48, 10], 2: ["SHA-256", 32, 48, 8], 3: ["SHA-256", 32, 48, 4], 4: ["SHA-256", 32, 16, 16], 5: ["SHA-512", 64, 32, 16],
};

function sframeHeader(kid, ctr) {
    const minimal = (number) => bigEndian(number, Math.max(1, Math.ceil(BigInt(number).toString(16).length / 2)));
    const half = (number) => (number < 8n ? [Number(number), []] : [8 | (minimal(number).length - 1), minimal(number)]);
    const [x, kidBytes] = half(BigInt(kid)), [y, ctrBytes] = half(BigInt(ctr));
    return join([(x << 4) | y], kidBytes, ctrBytes);
}

async function sframeSeal(suite, baseKey, kid, ctr, metadata, plain) {
    const [hash, , keyBytes, tagBytes] = SUITES[suite];
    const secret = await hmac(hash, new Uint8Array(0), baseKey), end = join(bigEndian(kid, 8), bigEndian(suite, 2));
    const key = await hkdfExpand(hash, secret, join(utf8("SFrame 1.0 Secret key "), end), keyBytes);
    const salt = await hkdfExpand(hash, secret, join(utf8("SFrame 1.0 Secret salt "), end), 12);
    const header = sframeHeader(kid, ctr), nonce = xor(salt, bigEndian(ctr, 12)), aad = join(header, metadata);
    if (suite >= 4) {
        const imported = await subtle.importKey("raw", key, "AES-GCM", false, ["encrypt"]);
        return join(header, new Uint8Array(await subtle.encrypt({ name: "AES-GCM", iv: nonce, additionalData: aad }, imported, plain)));
    }
    const imported = await subtle.importKey("raw", key.slice(0, 16), "AES-CTR", false, ["encrypt"]);
    const counter = join(nonce, new Uint8Array(4));
    const sealed = new Uint8Array(await subtle.encrypt({ name: "AES-CTR", counter, length: 32 }, imported, plain));
    const lengths = join(bigEndian(aad.length, 8), bigEndian(sealed.length, 8), bigEndian(tagBytes, 8));
    const tag = await hmac(hash, key.slice(16), join(lengths, nonce, aad, sealed));
    return join(header, sealed, tag.slice(0, tagBytes));
}

async function sframeSenderKeys(suite, ratchetBits, steps, firstStep) {
    const [hash, hashBytes] = SUITES[suite], generation = 5n, base = text(32), frames = [];
    const kidOf = (step) => (generation << BigInt(ratchetBits)) + BigInt(step % (1 << ratchetBits));
    for (let step = firstStep, key = base; step <= steps; step++) {
        const kid = kidOf(step), plain = text(20 + step);
        frames.push({ kid: String(kid), plain: hex(plain), frame: hex(await sframeSeal(suite, key, kid, 1000 + step, [], plain)) });
        key = await hkdfExpand(hash, await hmac(hash, new Uint8Array(0), key), utf8("SFrame 1.0 Ratchet"), hashBytes);
    }
    const keys = { format: "sframe", suite, ratchet_bits: ratchetBits, keys: [{ kid: String(kidOf(firstStep)), key: base64(base) }] };
    return { about: `sender keys, suite ${suite}, R ${ratchetBits}`, keys, frames };
}

async function sframeMls(suite) {
    const epochBits = 4, senderBits = 10, metadata = utf8("case:17"), frames = [], keys = [];
    for (const epoch of [14, 15, 16]) {
        const base = text(SUITES[suite][2] + epoch);
        keys.push({ epoch, key: base64(base) });
        for (const [context, sender] of [[0n, 0n], [0n, 513n], [3n, 1n]]) {
            const kid = (context << BigInt(senderBits + epochBits)) + (sender << BigInt(epochBits)) + BigInt(epoch % (1 << epochBits));
            const plain = text(30 + epoch), ctr = 2n ** 64n - 1n - sender; // all bytes of the nonce are used
            frames.push({ kid: String(kid), plain: hex(plain), frame: hex(await sframeSeal(suite, base, kid, ctr, metadata, plain)) });
        }
    }
    const mls = { epoch_bits: epochBits, sender_bits: senderBits };
    return { about: `MLS key ids, suite ${suite}, with metadata`, keys: { format: "sframe", suite, mls, metadata: base64(metadata), keys }, frames };
}

async function check() {
    const must = (what, is, shall) => { if (is !== shall) throw new Error(`${what}: ${is}, not ${shall}`); };
    must("SM4 (GB/T 32907)", hex(sm4Block(bytesOf("0123456789abcdeffedcba9876543210"), bytesOf("0123456789abcdeffedcba9876543210"))),
         "681edf34d206965e86b3e94f536e4246");
    must("XTS (IEEE 1619 vector 2)", hex(await xts(bytesOf("11".repeat(16) + "22".repeat(16)), bytesOf("3333333333" + "00".repeat(11)),
         bytesOf("44".repeat(32)))), "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0");
    must("XTS (IEEE 1619 vector 15)", hex(await xts(bytesOf("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0bfbebdbcbbbab9b8b7b6b5b4b3b2b1b0"),
         bytesOf("9a78563412" + "00".repeat(11)), bytesOf("000102030405060708090a0b0c0d0e0f10"))), "6c1625db4671522d3d7599601de7ca09ed");
}

await check();
const sframe = [await sframeSenderKeys(4, 8, 8, 0), await sframeSenderKeys(1, 3, 9, 6), await sframeSenderKeys(5, 2, 3, 0), await sframeMls(4)];
const source = "made by make-channel-aes.mjs (WebCrypto; XTS and SM4 of its own, checked against IEEE 1619 and GB/T 32907)";
console.log(JSON.stringify({ source, channel: await channelFrames(), sframe }, null, 1));
