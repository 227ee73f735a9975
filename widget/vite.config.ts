// The framed page: frame.html and its assets, relative so that it can be served under any path.
import { defineConfig } from "vite";

export default defineConfig({
    base: "./",
    publicDir: false,
    build: {
        outDir: "dist",
        emptyOutDir: true,
        target: "es2022",
        sourcemap: false,
        assetsInlineLimit: 0,
        chunkSizeWarningLimit: 2000,
        rollupOptions: { input: "frame.html" },
    },
    test: { include: ["src/**/*.test.ts"], environment: "node" },
} as Parameters<typeof defineConfig>[0]);
