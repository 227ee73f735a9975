/** Encrypted attachments: `EncryptedFile` version 2 (client-server API, "Sending encrypted attachments"), by WebCrypto. */

/** What the receiver needs to fetch and open a file. */
export interface EncryptedFile {
    v: "v2";
    url: string;
    key: JsonWebKey & { k: string };
    /** AES-CTR counter block, unpadded base64: 8 random bytes, then a counter from zero. */
    iv: string;
    hashes: { sha256: string };
}

type Bytes = Uint8Array<ArrayBuffer>;

/** The file on the server is not what was sent. */
export class Tampered extends Error {}

/** Encrypts a file under a fresh key. */
export async function encryptFile(plain: ArrayBuffer): Promise<{ cipher: ArrayBuffer; file: Omit<EncryptedFile, "url"> }> {
    const iv: Bytes = new Uint8Array(16);
    crypto.getRandomValues(iv.subarray(0, 8));
    const key = await crypto.subtle.generateKey({ name: "AES-CTR", length: 256 }, true, ["encrypt", "decrypt"]);
    const cipher = await crypto.subtle.encrypt({ name: "AES-CTR", counter: iv, length: 64 }, key, plain);
    const [jwk, digest] = await Promise.all([crypto.subtle.exportKey("jwk", key), crypto.subtle.digest("SHA-256", cipher)]);
    if (!jwk.k) throw new Error("the browser exported no key");
    return {
        cipher,
        file: {
            v: "v2",
            key: { kty: "oct", key_ops: ["encrypt", "decrypt"], alg: "A256CTR", k: jwk.k, ext: true },
            iv: toBase64(iv),
            hashes: { sha256: toBase64(new Uint8Array(digest)) },
        },
    };
}

/** Checks and decrypts a file. */
export async function decryptFile(cipher: ArrayBuffer, file: EncryptedFile): Promise<ArrayBuffer> {
    const digest = toBase64(new Uint8Array(await crypto.subtle.digest("SHA-256", cipher)));
    if (file.v !== "v2" || digest !== file.hashes.sha256.replace(/=+$/, ""))
        throw new Tampered("the file's checksum does not match");
    const key = await crypto.subtle.importKey("jwk", file.key, { name: "AES-CTR" }, false, ["decrypt"]);
    return crypto.subtle.decrypt({ name: "AES-CTR", counter: fromBase64(file.iv), length: 64 }, key, cipher);
}

/** Unpadded base64. */
export function toBase64(bytes: Bytes): string {
    return btoa(String.fromCharCode(...bytes)).replace(/=+$/, "");
}

/** Base64 with or without padding. */
export function fromBase64(text: string): Bytes {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
