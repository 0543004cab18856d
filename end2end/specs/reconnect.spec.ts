import type { Page } from '@playwright/test'
import { alive, expect, open, rows, test } from '../support/app'

test.use({ expected: [/WebSocket connection/, /ERR_INTERNET_DISCONNECTED/] })

/** Stands between a page and the server, and can cut the line. */
async function line(page: Page) {
  const sockets: { close: () => void }[] = []
  let whole = true
  await page.routeWebSocket(/\/api\/$/, socket => {
    if (!whole) {
      socket.close({ code: 1011 })
      return
    }
    socket.connectToServer()
    sockets.push({ close: () => socket.close({ code: 1011 }) })
  })
  return {
    cut: () => {
      whole = false
      for (const socket of sockets.splice(0)) socket.close()
    },
    mend: () => {
      whole = true
    },
  }
}

test('a cut is said, and mended without a reload', async ({ app }) => {
  const { cut, mend } = await line(app)
  await open(app, '/vms')
  cut()
  await expect(app.getByText(/Reconnecting to Xen Orchestra/)).toBeVisible()
  await expect(app.locator('.chip-button').first()).toContainText('Not live')
  mend()
  await expect(app.getByText(/Reconnecting to Xen Orchestra/)).toHaveCount(0)
})

test('what changed during a cut is on the screen after it', async ({ app }) => {
  const { cut, mend } = await line(app)
  await open(app, '/vms?s=power_state%3Ahalted')
  const link = rows(app).first().locator('.table__link')
  const [path, before] = [(await link.getAttribute('href')) ?? '', await link.innerText()]
  // Ready before the cut: the longer it lasts, the rarer are the attempts to mend it.
  const other = await app.context().newPage()
  await other.goto(path)
  await alive(other)
  const heading = other.getByRole('heading', { level: 1 })
  cut()
  await expect(app.getByText(/Reconnecting to Xen Orchestra/)).toBeVisible()
  await heading.getByRole('button').click()
  await other.getByRole('textbox', { name: 'name' }).fill('0 renamed in another window')
  await other.keyboard.press('Enter')
  await expect(heading).toContainText('0 renamed in another window')
  await expect(link).toHaveText(before)
  mend()
  await expect(app.locator(`.table__link[href="${path}"]`)).toHaveText('0 renamed in another window')
})
