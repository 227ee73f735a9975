import { expect, test } from "vitest";
import { decryptFile, encryptFile, fromBase64, Tampered, toBase64, type EncryptedFile } from "./cipher.ts";

const text = new TextEncoder().encode("a file of several blocks, so that the counter has to move on");

test("what was encrypted comes back, and only the ciphertext travels", async () => {
    const { cipher, file } = await encryptFile(text.buffer);
    expect(new Uint8Array(cipher)).not.toEqual(text);
    expect(file).toMatchObject({ v: "v2", key: { alg: "A256CTR", kty: "oct", ext: true } });
    const plain = await decryptFile(cipher, { ...file, url: "mxc://example.org/a" });
    expect(new Uint8Array(plain)).toEqual(text);
});

test("a changed byte is noticed before anything is decrypted", async () => {
    const { cipher, file } = await encryptFile(text.buffer);
    const bytes = new Uint8Array(cipher);
    bytes[3] = (bytes[3] ?? 0) ^ 1;
    await expect(decryptFile(bytes.buffer, { ...file, url: "mxc://example.org/a" })).rejects.toBeInstanceOf(Tampered);
});

test("the counter half of the initial block starts at zero, and no two files share the other half", async () => {
    const [one, two] = await Promise.all([encryptFile(text.buffer), encryptFile(text.buffer)]);
    expect([...fromBase64(one.file.iv).subarray(8)]).toEqual(new Array(8).fill(0));
    expect(one.file.iv).not.toBe(two.file.iv);
});

// Vectors made by another implementation: matrix-encrypt-attachment 1.0.3, test "encryptAttachment"
test("a file of another implementation opens", async () => {
    const file = {
        v: "v2",
        url: "mxc://example.org/b",
        key: {
            alg: "A256CTR",
            key_ops: ["encrypt", "decrypt"],
            kty: "oct",
            k: "__________________________________________8",
            ext: true,
        },
        iv: "//////////8AAAAAAAAAAA",
        hashes: { sha256: "YzF08lARDdOCzJpzuSwsjTNlQc4pHxpdHcXiD/wpK6k" },
    } satisfies EncryptedFile;
    const plain = await decryptFile(fromBase64("5xJZTt5cQicm+9f4").buffer, file);
    expect(new TextDecoder().decode(plain)).toBe("Hello, World");
});

test("base64 is unpadded, and padding is understood", () => {
    expect(toBase64(new Uint8Array([1, 2, 3, 4]))).toBe("AQIDBA");
    expect(fromBase64("AQIDBA==")).toEqual(new Uint8Array([1, 2, 3, 4]));
});
