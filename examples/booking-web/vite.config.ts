/** How the page is built and served, and what it may do at all: its content security policy. */
import { defineConfig, type Plugin } from "vite";

const api = process.env["VITE_API_URL"] ?? "http://127.0.0.1:8080";
const issuer = process.env["VITE_ISSUER_URL"] ?? "http://127.0.0.1:8090";
const processor = process.env["VITE_PROCESSOR_URL"] ?? "";

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  `connect-src ${[api, issuer, processor].filter(Boolean).join(" ")}`,
  "base-uri 'none'",
  "form-action 'none'",
  "require-trusted-types-for 'script'",
].join("; ");

/** In the page itself, so that it holds wherever the files are served from. */
const contentSecurityPolicy: Plugin = {
  name: "content-security-policy",
  apply: "build",
  transformIndexHtml: () => [{ tag: "meta", attrs: { "http-equiv": "Content-Security-Policy", content: policy }, injectTo: "head-prepend" }],
};

export default defineConfig({
  define: {
    "import.meta.env.VITE_API_URL": JSON.stringify(api),
    "import.meta.env.VITE_ISSUER_URL": JSON.stringify(issuer),
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: { modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
  plugins: [contentSecurityPolicy],
  server: { host: "127.0.0.1", port: 5173, strictPort: true },
  preview: {
    host: "127.0.0.1",
    port: 5173,
    strictPort: true,
    headers: {
      "Content-Security-Policy": `${policy}; frame-ancestors 'none'`,
      "Referrer-Policy": "no-referrer",
      "X-Content-Type-Options": "nosniff",
      "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    },
  },
});
