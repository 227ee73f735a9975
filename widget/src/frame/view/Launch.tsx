/** Launching a chat: one at a time, and what went wrong is kept to be shown. */
import { type ReadonlySignal, useSignal } from "@preact/signals";
import type { JSX } from "preact";

export interface Launch {
    readonly busy: ReadonlySignal<boolean>;
    readonly error: ReadonlySignal<unknown>;
    /** Does nothing while an earlier one goes on. */
    run(open: () => Promise<void>): Promise<void>;
}

export function useLaunch(): Launch {
    const busy = useSignal(false);
    const error = useSignal<unknown>(undefined);
    const run = async (open: () => Promise<void>): Promise<void> => {
        if (busy.value) return;
        busy.value = true;
        error.value = undefined;
        try {
            await open();
        } catch (reason) {
            error.value = reason;
        } finally {
            busy.value = false;
        }
    };
    return { busy, error, run };
}

interface LaunchButtonProps {
    launch: Launch;
    open(): Promise<void>;
    label: string;
    testid: string;
}

/** The one thing to do on a page. */
export function LaunchButton({ launch, open, label, testid }: LaunchButtonProps): JSX.Element {
    const busy = launch.busy.value;
    return (
        <button
            type="button"
            class="primary wide"
            data-focus
            data-testid={testid}
            aria-disabled={busy}
            onClick={() => void launch.run(open)}
        >
            {busy ? <span class="spinner" /> : null}
            {label}
        </button>
    );
}
