import { expect, open, test } from '../support/app'

test.use({ expected: [/WebSocket connection/, /ERR_INTERNET_DISCONNECTED/] })

test('a cut is said, and mended without a reload', async ({ app }) => {
  const sockets: { close: () => void }[] = []
  let cut = false
  await app.routeWebSocket(/\/api\/$/, socket => {
    if (cut) {
      socket.close({ code: 1011 })
      return
    }
    socket.connectToServer()
    sockets.push({ close: () => socket.close({ code: 1011 }) })
  })
  await open(app, '/vms')
  cut = true
  for (const socket of sockets.splice(0)) socket.close()
  await expect(app.getByText(/Reconnecting to Xen Orchestra/)).toBeVisible()
  await expect(app.locator('.chip-button').first()).toContainText('Not live')
  cut = false
  await expect(app.getByText(/Reconnecting to Xen Orchestra/)).toHaveCount(0)
})
