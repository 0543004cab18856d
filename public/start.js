// Starts the client in the page that the server rendered.
// What Leptos reads at its start; the server's stream may have filled it already.
globalThis.__RESOLVED_RESOURCES ??= []
globalThis.__SERIALIZED_ERRORS ??= []
globalThis.__INCOMPLETE_CHUNKS ??= []
const { default: init, hydrate } = await import('/pkg/xo.js')
const { memory } = await init({ module_or_path: '/pkg/xo.wasm' })
// For measurements.
globalThis.xoMemory = memory
// In a task of its own: what the browser has ready is shown first.
await new Promise(done => setTimeout(done))
hydrate()
