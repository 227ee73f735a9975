/** Which files are shown as pictures. */

/** Types every browser draws and none executes; SVG is not among them. */
const PICTURE_TYPES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"]);
/** Larger pictures are offered as a card, so that opening a chat stays cheap. */
const PICTURE_BYTES_MAX = 12 * 1024 * 1024;

/** Whether a file is fetched and shown in its place. */
export function isPicture(type: string, size: number): boolean {
    return PICTURE_TYPES.has(type) && size <= PICTURE_BYTES_MAX;
}

/** Width and height of a picture, so that the window keeps room for it. */
export async function measure(file: File): Promise<{ w: number; h: number } | undefined> {
    if (!PICTURE_TYPES.has(file.type)) return undefined;
    try {
        const bitmap = await createImageBitmap(file);
        const size = { w: bitmap.width, h: bitmap.height };
        bitmap.close();
        return size;
    } catch {
        return undefined; // named a picture, but isn't one
    }
}
