/**
 * A device run by matrix-js-sdk with its Rust crypto. In Node its keys are in memory, so it starts anew with a new device.
 * One JSON object a line in, one a line out (README.md lists the verbs).
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { createInterface } from "node:readline";

import { cryptoApi, sdk } from "./js_sdk.mjs";

// Libraries print; only answers may stand on the real output.
for (const level of ["log", "info", "debug", "warn", "trace"]) console[level] = console.error;

const unpadded = (bytes) => bytes.toString("base64").replace(/=+$/, "");

/** Encrypts a file as "Sending encrypted attachments" of the specification says. */
function encryptFile(data) {
    const key = randomBytes(32);
    const iv = Buffer.concat([randomBytes(8), Buffer.alloc(8)]);
    const cipher = createCipheriv("aes-256-ctr", key, iv);
    const encrypted = Buffer.concat([cipher.update(data), cipher.final()]);
    const k = unpadded(key).replaceAll("+", "-").replaceAll("/", "_");
    const file = {
        v: "v2",
        key: { alg: "A256CTR", ext: true, k, key_ops: ["encrypt", "decrypt"], kty: "oct" },
        iv: unpadded(iv),
        hashes: { sha256: unpadded(createHash("sha256").update(encrypted).digest()) },
    };
    return { encrypted, file };
}

function decryptFile(encrypted, file) {
    const hash = unpadded(createHash("sha256").update(encrypted).digest());
    if (hash !== file.hashes.sha256) throw new Error("the file's hash is another");
    const decipher = createDecipheriv("aes-256-ctr", Buffer.from(file.key.k, "base64url"), Buffer.from(file.iv, "base64"));
    return Buffer.concat([decipher.update(encrypted), decipher.final()]);
}

/** Calls `look` now and at each of these events, until it answers something. */
function until(emitter, events, look) {
    return new Promise((resolve, reject) => {
        const again = async () => {
            try {
                const found = await look();
                if (!found) return;
                for (const event of events) emitter.off(event, again);
                resolve(found);
            } catch (error) {
                reject(error);
            }
        };
        for (const event of events) emitter.on(event, again);
        void again();
    });
}

const { ClientEvent, MatrixEventEvent, RoomEvent, RoomStateEvent } = sdk;
const { VerificationPhase, VerificationRequestEvent, VerifierEvent, CryptoEvent, decodeRecoveryKey } = cryptoApi;

class Driver {
    recoveryKey;
    request;

    async login({ homeserver, user, password }) {
        this.password = password;
        const identifier = { type: "m.id.user", user };
        return this.enter(homeserver, { type: "m.login.password", identifier, password });
    }

    /** As a page does that the platform has given these. The identity is there: this device is signed by it. */
    async login_with_token({ homeserver, login_token, recovery_key }) {
        const entered = await this.enter(homeserver, { type: "m.login.token", token: login_token });
        await this.use_recovery_key({ recovery_key });
        return entered;
    }

    async enter(homeserver, how) {
        this.client?.stopClient(); // another user's, of before
        const entering = sdk.createClient({ baseUrl: homeserver });
        const answer = await entering.loginRequest({ ...how, initial_device_display_name: "js-sdk" });
        this.client = sdk.createClient({
            baseUrl: homeserver,
            userId: answer.user_id,
            deviceId: answer.device_id,
            accessToken: answer.access_token,
            cryptoCallbacks: { getSecretStorageKey: async ({ keys }) => [Object.keys(keys)[0], this.recoveryKey] },
        });
        await this.client.initRustCrypto({ useIndexedDB: false });
        this.client.on(CryptoEvent.VerificationRequestReceived, (request) => (this.request = request));
        await this.client.startClient({ initialSyncLimit: 50 });
        await until(this.client, [ClientEvent.Sync], () => this.client.isInitialSyncComplete());
        return { user_id: answer.user_id, device_id: answer.device_id, access_token: answer.access_token };
    }

    get crypto() {
        return this.client.getCrypto();
    }

    async create_room({ invite }) {
        const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
        return this.client.createRoom({ invite, initial_state: [encryption] });
    }

    async join({ room_id }) {
        await this.client.joinRoom(room_id);
        return {};
    }

    /** Waits until the room is known as encrypted, with these as joined members. */
    async see({ room_id, user_ids }) {
        await until(this.client, [ClientEvent.Room, RoomStateEvent.Members, RoomStateEvent.Events], () => {
            const room = this.client.getRoom(room_id);
            return room?.hasEncryptionStateEvent() && user_ids.every((user_id) => room.getMember(user_id)?.membership === "join");
        });
        return {};
    }

    async send_text({ room_id, text }) {
        return this.client.sendMessage(room_id, { msgtype: "m.text", body: text });
    }

    async send_file({ room_id, name, data }) {
        const bytes = Buffer.from(data, "base64");
        const { encrypted, file } = encryptFile(bytes);
        const { content_uri } = await this.client.uploadContent(encrypted, { type: "application/octet-stream", includeFilename: false });
        const info = { size: bytes.length, mimetype: "text/plain" };
        return this.client.sendMessage(room_id, { msgtype: "m.file", body: name, info, file: { ...file, url: content_uri } });
    }

    /** The decrypted message, with the decrypted bytes of its file. */
    async receive({ room_id, event_id }) {
        const find = () => this.client.getRoom(room_id)?.findEventById(event_id);
        const event = await until(this.client, [RoomEvent.Timeline, MatrixEventEvent.Decrypted], () => {
            const found = find();
            return found && !found.isBeingDecrypted() && !found.isDecryptionFailure() && found.getType() === "m.room.message" && found;
        });
        return this.read(event);
    }

    /** The same, without waiting for a key. */
    async read_now({ room_id, event_id }) {
        const event = await until(this.client, [RoomEvent.Timeline], () => this.client.getRoom(room_id)?.findEventById(event_id));
        await event.getDecryptionPromise();
        if (event.isDecryptionFailure()) throw new Error(`no key: ${event.decryptionFailureReason}`);
        return this.read(event);
    }

    async read(event) {
        const content = event.getContent();
        const found = { sender: event.getSender(), body: content.body, decrypted: event.isEncrypted() };
        if (content.file) {
            const url = this.client.mxcUrlToHttp(content.file.url, undefined, undefined, undefined, false, true, true);
            const response = await fetch(url, { headers: { authorization: `Bearer ${this.client.getAccessToken()}` } });
            if (!response.ok) throw new Error(`the file: ${response.status}`);
            found.data = decryptFile(Buffer.from(await response.arrayBuffer()), content.file).toString("base64");
        }
        return found;
    }

    /** Cross-signing keys, secret storage that holds them, and a backup of room keys; answers the one key to it all. */
    async make_recovery_key() {
        const created = await this.crypto.createRecoveryKeyFromPassphrase();
        this.recoveryKey = created.privateKey;
        await this.crypto.bootstrapCrossSigning({
            authUploadDeviceSigningKeys: (upload) =>
                upload({ type: "m.login.password", identifier: { type: "m.id.user", user: this.client.getUserId() }, password: this.password }),
        });
        await this.crypto.bootstrapSecretStorage({ createSecretStorageKey: async () => created, setupNewKeyBackup: true });
        return { recovery_key: created.encodedPrivateKey };
    }

    /** Signs this device with the keys that secret storage holds. */
    async use_recovery_key({ recovery_key }) {
        this.recoveryKey = decodeRecoveryKey(recovery_key);
        // The private keys are held against the public ones, so those come first.
        await this.crypto.userHasCrossSigningKeys(this.client.getUserId(), true);
        await this.crypto.bootstrapCrossSigning({});
        return {};
    }

    /** Waits until the server's backup holds this many keys: no event of the SDK tells of the last ones. */
    async backed_up({ count }) {
        for (;;) {
            const backup = await this.client.http.authedRequest(sdk.Method.Get, "/room_keys/version");
            if (backup.count >= count) return { count: backup.count };
            await new Promise((resolve) => setTimeout(resolve, 100));
        }
    }

    /** Fetches all backed up room keys with the key that secret storage holds. */
    async restore_backup() {
        await this.crypto.loadSessionBackupPrivateKeyFromSecretStorage();
        const { total, imported } = await this.crypto.restoreKeyBackup();
        return { total, imported };
    }

    async has_cross_signing_secrets() {
        const look = async () => {
            const { privateKeysCachedLocally: cached } = await this.crypto.getCrossSigningStatus();
            return cached.masterKey && cached.selfSigningKey && cached.userSigningKey;
        };
        await until(this.client, [ClientEvent.Sync, CryptoEvent.KeysChanged], look);
        return {};
    }

    /** The next message gets a room key of its own. */
    async forget_outbound_key({ room_id }) {
        await this.crypto.forceDiscardSession(room_id);
        return {};
    }

    /** Whether this device takes another for verified. */
    async is_verified({ user_id, device_id }) {
        const look = async () => {
            await this.crypto.getUserDeviceInfo([user_id], true);
            const status = await this.crypto.getDeviceVerificationStatus(user_id, device_id);
            return status?.isVerified() && { verified: true };
        };
        return until(this.client, [CryptoEvent.DevicesUpdated, CryptoEvent.UserTrustStatusChanged, CryptoEvent.KeysChanged, ClientEvent.Sync], look);
    }

    /** Takes what was sent while no device of this user was there. A pinned device answers 403: its keys are in by then. */
    async rehydrate() {
        await this.crypto.startDehydration().catch((error) => {
            if (error.errcode !== "M_FORBIDDEN") throw error;
        });
        return {};
    }

    /** What Element's shields are made of: whom this device takes another user for, and each of their devices. */
    async trust_of({ user_id }) {
        const devices = (await this.crypto.getUserDeviceInfo([user_id], true)).get(user_id);
        const user = await this.crypto.getUserVerificationStatus(user_id);
        const signed = {};
        for (const [device_id, device] of devices) {
            const status = await this.crypto.getDeviceVerificationStatus(user_id, device_id);
            signed[device_id] = { signed_by_owner: status.signedByOwner, dehydrated: device.dehydrated };
        }
        return { known: user.known, needs_approval: user.needsUserApproval, devices: signed };
    }

    /** The shield of a message: colour 0 and no reason is none. */
    async shield_of({ room_id, event_id }) {
        const event = this.client.getRoom(room_id).findEventById(event_id);
        const { shieldColour, shieldReason } = await this.crypto.getEncryptionInfoForEvent(event);
        return { colour: shieldColour, reason: shieldReason };
    }

    /** Waits for the newest message with this text. */
    async find_text({ room_id, text }) {
        const find = () => this.client.getRoom(room_id)?.getLiveTimeline().getEvents().findLast((event) => event.getContent().body === text);
        const event = await until(this.client, [RoomEvent.Timeline, MatrixEventEvent.Decrypted], find);
        return { event_id: event.getId() };
    }

    // Verification by emoji (SAS).

    async request_verification({ user_id, device_id }) {
        // Only a device that is known can be asked.
        await until(this.client, [CryptoEvent.DevicesUpdated, ClientEvent.Sync], async () =>
            (await this.crypto.getUserDeviceInfo([user_id])).get(user_id)?.has(device_id),
        );
        this.request = await this.crypto.requestDeviceVerification(user_id, device_id);
        return {};
    }

    /** The asked one agrees. */
    async accept_verification() {
        await until(this.client, [CryptoEvent.VerificationRequestReceived], () => this.request);
        await this.request.accept();
        await until(this.request, [VerificationRequestEvent.Change], () => this.request.verifier);
        return this.show();
    }

    /** The asking one starts once the other is ready. */
    async start_verification() {
        await until(this.request, [VerificationRequestEvent.Change], () => this.request.phase === VerificationPhase.Ready);
        await this.request.startVerification("m.sas.v1");
        return this.show();
    }

    async show() {
        const { verifier } = this.request;
        this.verified = verifier.verify();
        this.verified.catch(() => {});
        this.sas = await until(verifier, [VerifierEvent.ShowSas], () => verifier.getShowSasCallbacks());
        return { emoji: this.sas.sas.emoji.map(([emoji]) => emoji) };
    }

    async confirm_verification() {
        await this.sas.confirm();
        await this.verified;
        await until(this.request, [VerificationRequestEvent.Change], () => this.request.phase === VerificationPhase.Done);
        return { verified: true };
    }

    async stop() {
        this.client?.stopClient();
        return {};
    }
}

const driver = new Driver();
for await (const line of createInterface({ input: process.stdin })) {
    const { id, verb, arguments: given } = JSON.parse(line);
    const answer = async () => {
        let found;
        try {
            found = { result: await driver[verb](given) };
        } catch (error) {
            console.error(error);
            found = { error: String(error) };
        }
        process.stdout.write(`${JSON.stringify({ id, ...found })}\n`);
    };
    if (verb === "stop") {
        await answer();
        process.exit(0);
    }
    void answer();
}
