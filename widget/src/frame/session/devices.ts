/**
 * Which device of a host this browser holds the keys of.
 *
 * The only thing the widget writes besides the crypto store, which is sealed under a key derived from the recovery key.
 * Participants never have a record: their keys live in memory.
 */

/** One host's device in this browser. */
export interface DeviceRecord {
    device_id: string;
    /** False until the first start went to its end; such a store is thrown away. */
    complete: boolean;
}

const PREFIX = "vestibule.device.";

/** The record of a user, if this browser has one. */
export function readDevice(user_id: string): DeviceRecord | undefined {
    try {
        const record = JSON.parse(localStorage.getItem(PREFIX + user_id) ?? "null") as Partial<DeviceRecord> | null;
        return record?.device_id ? { device_id: record.device_id, complete: record.complete === true } : undefined;
    } catch {
        return undefined; // storage is switched off, or was damaged: a new device is made
    }
}

/** Writes the record of a user. Without storage every load is a new device, which works as well. */
export function writeDevice(user_id: string, record: DeviceRecord): void {
    try {
        localStorage.setItem(PREFIX + user_id, JSON.stringify(record));
    } catch {
        // private windows of some browsers
    }
}

/** Forgets the device of a user and deletes its key store. */
export async function forgetDevice(user_id: string): Promise<void> {
    const record = readDevice(user_id);
    if (!record) return;
    localStorage.removeItem(PREFIX + user_id);
    await deleteKeyStore(storePrefix(user_id, record.device_id));
}

/** The database name prefix of a device's key store. */
export function storePrefix(user_id: string, device_id: string): string {
    return `vestibule:${user_id}:${device_id}`;
}

/** Whether the key store of a device is still there: browsers evict databases, and a device without its keys is refused by all. */
export async function hasKeyStore(user_id: string, device_id: string): Promise<boolean> {
    const name = `${storePrefix(user_id, device_id)}::matrix-sdk-crypto`;
    return (await indexedDB.databases()).some((database) => database.name === name);
}

/** Deletes the databases matrix-js-sdk makes for a prefix. */
export async function deleteKeyStore(prefix: string): Promise<void> {
    for (const name of [`${prefix}::matrix-sdk-crypto`, `${prefix}::matrix-sdk-crypto-meta`]) {
        await new Promise<void>((resolve) => {
            const request = indexedDB.deleteDatabase(name);
            request.onsuccess = request.onerror = request.onblocked = (): void => resolve();
        });
    }
}

/** The key a device's store is sealed under: HKDF-SHA-256 of the recovery key, so that the disk alone is worth nothing. */
export async function storageKey(recovery_key: Uint8Array<ArrayBuffer>, device_id: string): Promise<Uint8Array<ArrayBuffer>> {
    const secret = await crypto.subtle.importKey("raw", recovery_key, "HKDF", false, ["deriveBits"]);
    const info = new TextEncoder().encode(`vestibule key store ${device_id}`);
    const bits = await crypto.subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt: new Uint8Array(32), info }, secret, 256);
    return new Uint8Array(bits);
}
