// Against a server that is already running: `cargo xtask test` starts it with simulated pools.
import { defineConfig } from '@playwright/test'

export default defineConfig({
  testDir: 'specs',
  fullyParallel: false,
  workers: 1,
  retries: 0,
  timeout: 90_000,
  expect: { timeout: 20_000 },
  reporter: [['list']],
  use: {
    baseURL: process.env.XO_URL ?? 'http://127.0.0.1:8080',
    viewport: { width: 1440, height: 900 },
    // Pictures of panels on their way are no use.
    contextOptions: { reducedMotion: 'reduce' },
    trace: 'retain-on-failure',
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
    },
  },
})
