/** Fetching files: with progress, checked, decrypted, and held no longer than their message. */
import { signal, type Signal } from "@preact/signals";
import type { FileInfo } from "../chat/message.ts";
import { failure, faultOf, type Fault } from "../session/errors.ts";
import type { Login } from "../session/login.ts";
import { decryptFile, Tampered } from "./cipher.ts";
import { isPicture } from "./picture.ts";

export type DownloadState =
    | { kind: "idle" }
    | { kind: "loading"; got: number; total: number }
    | { kind: "done"; address: string }
    | { kind: "failed"; fault: Fault | "tampered" };

/** The files of the open chats, by their mxc address. */
export class Downloads {
    private readonly states = new Map<string, Signal<DownloadState>>();
    private readonly abort = new AbortController();

    constructor(private readonly login: Login) {}

    /** The state of a file. */
    state(info: FileInfo): Signal<DownloadState> {
        let state = this.states.get(info.file.url);
        if (!state) this.states.set(info.file.url, (state = signal({ kind: "idle" })));
        return state;
    }

    /** Fetches a file unless it is here already. */
    async load(info: FileInfo): Promise<string | undefined> {
        const state = this.state(info);
        if (state.value.kind === "done") return state.value.address;
        if (state.value.kind === "loading") return undefined;
        state.value = { kind: "loading", got: 0, total: info.size };
        try {
            const cipher = await this.fetch(info, (got, total) => (state.value = { kind: "loading", got, total }));
            const plain = await decryptFile(cipher, info.file);
            // only picture types keep their type: nothing fetched may run in our origin
            const type = isPicture(info.type, info.size) ? info.type : "application/octet-stream";
            const address = URL.createObjectURL(new Blob([plain], { type }));
            state.value = { kind: "done", address };
            return address;
        } catch (error) {
            state.value = { kind: "failed", fault: error instanceof Tampered ? "tampered" : faultOf(error, Date.now()) };
            return undefined;
        }
    }

    /** Drops the bytes of a file whose message is gone. */
    drop(url: string): void {
        const state = this.states.get(url);
        if (state?.value.kind === "done") URL.revokeObjectURL(state.value.address);
        this.states.delete(url);
    }

    close(): void {
        this.abort.abort();
        for (const url of [...this.states.keys()]) this.drop(url);
    }

    private async fetch(info: FileInfo, progress: (got: number, total: number) => void): Promise<ArrayBuffer> {
        const { server, id } = parseMxc(info.file.url);
        const response = await this.login.tokens.fetch(
            `${this.login.base}/_matrix/client/v1/media/download/${encodeURIComponent(server)}/${encodeURIComponent(id)}?allow_redirect=true`,
            { headers: { Authorization: "" }, signal: this.abort.signal, cache: "no-store" },
        );
        if (!response.ok || !response.body) throw await failure(response);
        const total = Number(response.headers.get("content-length")) || info.size;
        const chunks: Uint8Array<ArrayBuffer>[] = [];
        let got = 0;
        const reader = response.body.getReader();
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
            chunks.push(part.value);
            got += part.value.byteLength;
            progress(got, Math.max(got, total));
        }
        return new Blob(chunks).arrayBuffer();
    }
}

/** `mxc://server/id` in its parts. */
export function parseMxc(url: string): { server: string; id: string } {
    const [, server, id] = /^mxc:\/\/([^/]+)\/([^/?#]+)$/.exec(url) ?? [];
    if (!server || !id) throw new Error("not an mxc address");
    return { server, id };
}
