// The one script a host page loads: a single classic script without dependencies.
import { defineConfig } from "vite";

export default defineConfig({
    publicDir: false,
    build: {
        outDir: "dist",
        emptyOutDir: false,
        target: "es2020",
        lib: { entry: "src/loader/main.ts", formats: ["iife"], name: "vestibuleLoader", fileName: () => "loader.js" },
    },
});
