/**
 * Starts the end-to-end encryption of one login.
 *
 * The identity was made when the user was provisioned: cross-signing keys in secret storage under the recovery key, and a
 * dehydrated device (MSC3814) that has received keys since. A start unlocks the first and rehydrates the second; it never
 * makes a new identity, since that would cut the user off from everything sent before.
 */
import { ClientEvent, MatrixError, SyncState, type MatrixClient } from "matrix-js-sdk";

/** The account data of the identity has not come, so that starting would reset it. */
export class IdentityMissing extends Error {}

/** Resolves once the first sync is in; rejects when the server refuses it. */
export function firstSync(client: MatrixClient): Promise<void> {
    return new Promise((resolve, reject) => {
        const listen = (state: SyncState, _: SyncState | null, data?: { error?: Error }): void => {
            if (state !== SyncState.Prepared && state !== SyncState.Error) return;
            const refused = data?.error instanceof MatrixError && data.error.httpStatus === 401;
            if (state === SyncState.Error && !refused) return; // js-sdk goes on trying
            client.off(ClientEvent.Sync, listen);
            if (state === SyncState.Prepared) resolve();
            else reject(data?.error);
        };
        client.on(ClientEvent.Sync, listen);
    });
}

/** Unlocks the identity and signs this device with it. Call after the first sync. */
export async function unlockIdentity(client: MatrixClient): Promise<void> {
    const crypto = client.getCrypto();
    if (!crypto) throw new IdentityMissing("encryption has not started");
    await crypto.userHasCrossSigningKeys(); // the own public keys must be known before the private ones are imported
    const status = await crypto.getCrossSigningStatus();
    // Without this check js-sdk would quietly make a new identity, and every later load of this user would fail.
    if (!status.privateKeysInSecretStorage) throw new IdentityMissing("the private keys are not in secret storage");
    await crypto.bootstrapCrossSigning({
        authUploadDeviceSigningKeys: async () => {
            throw new IdentityMissing("refusing to reset the identity");
        },
    });
}

/** Takes what was sent while no device of this user was there. A pinned device answers 403: its keys are in by then. */
export async function rehydrate(client: MatrixClient): Promise<void> {
    const crypto = client.getCrypto();
    if (!crypto || !(await crypto.isDehydrationSupported())) return;
    try {
        await crypto.startDehydration();
    } catch (error) {
        if (!(error instanceof MatrixError) || error.errcode !== "M_FORBIDDEN") throw error;
    }
}

/**
 * Key backup for hosts, who come with several browsers: a new one reads what the others have read. Made if there is none.
 * The server drops the backed-up keys with the messages they are for. Participants need none: their device is pinned.
 */
export async function connectBackup(client: MatrixClient): Promise<void> {
    const crypto = client.getCrypto();
    if (!crypto) return;
    const backup = await crypto.getKeyBackupInfo();
    const isOurs = (await client.secretStorage.isStored("m.megolm_backup.v1")) !== null;
    // A page that ended between making a backup and storing its key leaves one that nobody can open; nothing is in it.
    if (backup === null || (!isOurs && backup.count === 0)) return crypto.resetKeyBackup();
    if (!isOurs) return; // somebody else's, locked by a key we weren't given
    await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    await crypto.checkKeyBackupAndEnable();
}
