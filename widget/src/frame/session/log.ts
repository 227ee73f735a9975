/** Keeps matrix-js-sdk's log out of the visitor's console: it names rooms and users. */
import { logger, type Logger } from "matrix-js-sdk/lib/logger.js";

/** The part of loglevel's loggers that js-sdk's have at run time. */
interface Adjustable {
    setLevel(level: "silent", persist: boolean): void;
}

/** The log of a client: nothing. What matters to a person is on the screen. */
export const silence: Logger = {
    trace: () => {},
    debug: () => {},
    info: () => {},
    warn: () => {},
    error: () => {},
    getChild: () => silence,
};

/** The log of the parts of js-sdk that take no logger. */
export function quieten(): void {
    for (const each of [logger, logger.getChild("")]) (each as unknown as Adjustable).setLevel("silent", false);
}
