/** Sending files: encrypted here, uploaded with progress, then announced in the chat. */
import { signal, type Signal } from "@preact/signals";
import { MsgType, type MatrixClient, type Room } from "matrix-js-sdk";
import type { RoomMessageEventContent } from "matrix-js-sdk/lib/types.js";
import { requireEncryption } from "../chat/send.ts";
import type { Tokens } from "../session/tokens.ts";
import { encryptFile, type EncryptedFile } from "./cipher.ts";
import { measure } from "./picture.ts";

export type UploadState =
    { kind: "encrypting" } | { kind: "uploading"; sent: number; total: number } | { kind: "failed"; error: unknown };

/** One file on its way. It leaves the list when its message is in the chat. */
export interface Upload {
    id: number;
    name: string;
    size: number;
    state: Signal<UploadState>;
    cancel(): void;
    again(): void;
}

/** The uploads of one chat. */
export class Uploads {
    readonly list: Signal<readonly Upload[]> = signal([]);
    private count = 0;
    private size_max: Promise<number> | undefined;

    constructor(
        private readonly client: MatrixClient,
        private readonly tokens: Tokens,
        private readonly room: Room,
    ) {}

    /** Sends files, one after the other so that they arrive in the order they were dropped. */
    async send(files: readonly File[]): Promise<void> {
        const uploads = files.map((file) => this.add(file));
        for (const start of uploads) await start();
    }

    /** Stops everything under way. */
    close(): void {
        for (const upload of this.list.value) upload.cancel();
    }

    private add(file: File): () => Promise<void> {
        let abort = new AbortController();
        const state: Signal<UploadState> = signal({ kind: "encrypting" });
        const upload: Upload = {
            id: ++this.count,
            name: file.name,
            size: file.size,
            state,
            cancel: () => {
                abort.abort();
                this.remove(upload);
            },
            again: () => {
                abort = new AbortController();
                void run();
            },
        };
        const run = async (): Promise<void> => {
            if (abort.signal.aborted) return;
            try {
                await this.transfer(file, state, abort);
                this.remove(upload);
            } catch (error) {
                if (!abort.signal.aborted) state.value = { kind: "failed", error };
            }
        };
        this.list.value = [...this.list.value, upload];
        return run;
    }

    private remove(upload: Upload): void {
        this.list.value = this.list.value.filter((other) => other !== upload);
    }

    private async transfer(file: File, state: Signal<UploadState>, abortController: AbortController): Promise<void> {
        state.value = { kind: "encrypting" };
        await requireEncryption(this.client, this.room);
        await this.checkSize(file.size);
        const size = await measure(file);
        const { cipher, file: sealed } = await encryptFile(await file.arrayBuffer());
        state.value = { kind: "uploading", sent: 0, total: cipher.byteLength };
        await this.tokens.ensureFresh();
        // neither name nor type of the file reach the server
        const { content_uri } = await this.client.uploadContent(new Blob([cipher]), {
            type: "application/octet-stream",
            includeFilename: false,
            abortController,
            progressHandler: ({ loaded, total }) => (state.value = { kind: "uploading", sent: loaded, total }),
        });
        if (abortController.signal.aborted) return;
        await this.announce(file, { ...sealed, url: content_uri }, size);
    }

    private async announce(file: File, sealed: EncryptedFile, size: { w: number; h: number } | undefined): Promise<void> {
        await this.client.sendMessage(this.room.roomId, {
            msgtype: size ? MsgType.Image : MsgType.File,
            body: file.name,
            filename: file.name,
            info: { mimetype: file.type || "application/octet-stream", size: file.size, ...size },
            file: sealed,
        } as RoomMessageEventContent);
    }

    private async checkSize(size: number): Promise<void> {
        this.size_max ??= this.client.getMediaConfig(true).then((config) => config["m.upload.size"] ?? Infinity);
        const size_max = await this.size_max.catch(() => Infinity); // the upload itself will say
        this.size_max = undefined; // the limit shrinks as the day's amount is used
        if (size > size_max) throw new FileTooLarge(size_max);
    }
}

/** The file is larger than the server takes. */
export class FileTooLarge extends Error {
    constructor(readonly size_max: number) {
        super(`larger than ${size_max} bytes`);
    }
}
