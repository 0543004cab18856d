// The figures of the web client's budget (design: first paint, list usable, bytes, long tasks, memory, keys).
// `cargo xtask bench` starts a server with simulated pools and calls this; nothing here decides a test.
import { chromium } from '@playwright/test'

const { XO_URL: url, XO_USER: user, XO_PASSWORD: password, XO_VMS: vms, CHROMIUM: executablePath } = process.env
const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--enable-precise-memory-info'],
})
const context = await browser.newContext({ viewport: { width: 1440, height: 900 } })
await context.addInitScript(() => {
  globalThis.longTasks = []
  new PerformanceObserver(list => {
    for (const entry of list.getEntries()) globalThis.longTasks.push(entry.duration)
  }).observe({ type: 'longtask', buffered: true })
})

const first = await context.newPage()
await first.goto(`${url}/signin`)
await first.getByLabel('User name').fill(user)
await first.getByLabel('Password').fill(password)
await first.getByRole('button', { name: 'Sign in' }).click()
await first.waitForSelector('.table tbody tr:not(.table__spacer)')
await first.close()

const number = text => Number(text.replaceAll(/[^0-9]/g, ''))
const median = values => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]

/** One cold visit: nothing cached, signed in. */
async function visit() {
  const page = await context.newPage()
  const session = await context.newCDPSession(page)
  await session.send('Network.enable')
  await session.send('Network.clearBrowserCache')
  await session.send('Network.setCacheDisabled', { cacheDisabled: true })
  const traffic = { http: 0, socket: 0, requests: 0 }
  session.on('Network.loadingFinished', event => {
    traffic.http += event.encodedDataLength
    traffic.requests += 1
  })
  // A binary frame's payload is told in base64.
  session.on('Network.webSocketFrameReceived', ({ response }) => {
    traffic.socket += response.opcode === 2 ? response.payloadData.length * 0.75 : response.payloadData.length
  })
  const start = Date.now()
  await page.goto(`${url}/vms`, { waitUntil: 'commit' })
  await page.waitForFunction(
    expected => {
      const count = document.querySelector('.list-head__count')?.textContent ?? ''
      const total = Number(count.split(' of ').at(-1).replaceAll(/[^0-9]/g, ''))
      return total >= expected && document.querySelector('.table tbody tr:not(.table__spacer) .table__link') !== null
    },
    Number(vms),
    { polling: 'raf' },
  )
  const usable = Date.now() - start
  const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime)
  const wire = { ...traffic }
  const rows = await page.evaluate(
    () =>
      [...document.querySelectorAll('.table tbody tr:not(.table__spacer)')].filter(row => {
        const { top, bottom } = row.getBoundingClientRect()
        return top >= 0 && bottom <= innerHeight
      }).length,
  )
  return { page, usable, paint, wire, rows }
}

const visits = []
let longest = 0
for (let round = 0; round < 5; round++) {
  const result = await visit()
  // What is started after the first look belongs to the visit.
  await result.page.waitForFunction(() => document.querySelector('.tree__node') !== null)
  const tasks = await result.page.evaluate(() => new Promise(done => requestIdleCallback(() => done(globalThis.longTasks))))
  longest = Math.max(longest, ...tasks)
  if (round < 4) await result.page.close()
  visits.push(result)
}
const { page, wire, rows } = visits.at(-1)

// A key in the filter: from the event to the frame after it.
const keys = await page.evaluate(async () => {
  const input = document.querySelector('#filter')
  const times = []
  let text = ''
  for (const key of 'web-prod-01') {
    text += key
    const start = performance.now()
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(input, text)
    input.dispatchEvent(new InputEvent('input', { bubbles: true }))
    // The work that the key causes, up to and including the next frame's.
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)))
    times.push(performance.now() - start)
  }
  return times
})
await page.locator('#filter').fill('')

const moves = []
for (const name of ['Hosts', 'VMs', 'Pools', 'VMs', 'Hosts', 'VMs']) {
  moves.push(
    await page.evaluate(async name => {
      const link = [...document.querySelectorAll('.nav a')].find(link => link.textContent.includes(name))
      const start = performance.now()
      link.click()
      await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))
      return performance.now() - start
    }, name),
  )
}

// Scrolling through the list: the time between frames.
const frames = await page.evaluate(async () => {
  const scroller = document.querySelector('.table').closest('[class*="scroll"]') ?? document.querySelector('.table').parentElement
  const times = []
  let last = performance.now()
  for (let step = 0; step < 60; step++) {
    scroller.scrollTop = (scroller.scrollHeight * step) / 60
    await new Promise(done => requestAnimationFrame(done))
    times.push(performance.now() - last)
    last = performance.now()
  }
  return times
})

const session = await context.newCDPSession(page)
await session.send('HeapProfiler.enable')
await session.send('HeapProfiler.collectGarbage')
const memory = await page.evaluate(() => ({
  heap: performance.memory.usedJSHeapSize,
  wasm: globalThis.xoMemory?.buffer.byteLength ?? 0,
}))

const ms = value => `${Math.round(value)} ms`
const mb = value => `${(value / 1e6).toFixed(2)} MB`
console.log(`web client, ${vms} VMs, 100 changes/s (Chromium ${browser.version()}, median of 5 cold visits)`)
console.log(`| first contentful paint | ${ms(median(visits.map(visit => visit.paint)))} |`)
console.log(`| requests; HTTP bytes; WebSocket bytes | ${wire.requests}; ${mb(wire.http)}; ${mb(wire.socket)} |`)
console.log(`| VM list usable | ${ms(median(visits.map(visit => visit.usable)))} |`)
console.log(`| rows on the screen | ${rows} |`)
// Chromium tells of tasks from 50 ms on.
console.log(`| longest main-thread task of all visits | ${longest === 0 ? 'under 50 ms' : ms(longest)} |`)
console.log(`| filter, per key to the next frame: median, max | ${ms(median(keys))}, ${ms(Math.max(...keys))} |`)
console.log(`| page to page: median, max | ${ms(median(moves))}, ${ms(Math.max(...moves))} |`)
console.log(`| frame while scrolling: median, max | ${ms(median(frames))}, ${ms(Math.max(...frames))} |`)
console.log(`| JS heap; WASM memory | ${mb(memory.heap)}; ${mb(memory.wasm)} |\n`)
await browser.close()
