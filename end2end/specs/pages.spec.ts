// Every page: nothing for axe to find, and a picture in every size and theme.
import AxeBuilder from '@axe-core/playwright'
import type { Page } from '@playwright/test'
import { alive, expect, open, rows, test } from '../support/app'

const sizes = { desktop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } }

const lists: Record<string, string> = {
  vms: '/vms',
  hosts: '/hosts',
  pools: '/pools',
  tasks: '/tasks',
  servers: '/administration/servers',
}

async function first(page: Page, list: string) {
  await open(page, list)
  const link = rows(page).first().locator('.table__link')
  return (await link.getAttribute('href')) ?? ''
}

async function look(page: Page, name: string) {
  for (const [size, viewport] of Object.entries(sizes)) {
    await page.setViewportSize(viewport)
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      await page.screenshot({ path: `screenshots/${name}-${size}-${colorScheme}.png` })
      const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']).analyze()
      const found = violations.map(violation => `${name} ${size} ${colorScheme}: ${violation.id}: ${violation.nodes[0].html}`)
      expect(found).toEqual([])
    }
  }
}

for (const [name, path] of Object.entries(lists)) {
  test(`the page ${name}`, async ({ app }) => {
    await open(app, path)
    await look(app, name)
  })
}

for (const [kind, list, tabs] of [
  ['vm', '/vms', ['', 'snapshots', 'activity']],
  ['host', '/hosts', ['', 'vms', 'activity']],
  ['pool', '/pools', ['', 'hosts', 'vms', 'activity']],
] as const) {
  test(`the page of a ${kind}`, async ({ app }) => {
    const path = await first(app, list)
    for (const tab of tabs) {
      await app.goto(tab === '' ? path : `${path}/${tab}`)
      await alive(app)
      await expect(app.locator('.object-head')).toBeVisible()
      await look(app, tab === '' ? kind : `${kind}-${tab}`)
    }
  })
}

test('the sign-in page', async ({ page }) => {
  await page.goto('/signin')
  await look(page, 'sign-in')
})

test('the palette, the drawer and the dialogs', async ({ app }) => {
  await open(app, '/vms')
  await app.keyboard.press('Control+k')
  await app.getByRole('combobox').fill('a')
  await look(app, 'palette')
  await app.keyboard.press('Escape')
  await app.keyboard.press('t')
  await look(app, 'task-drawer')
  await app.keyboard.press('t')
  await open(app, '/administration/servers')
  await app.getByRole('button', { name: 'Add a server' }).click()
  await look(app, 'server-form')
})

test('the client leads to the pages of the server, and they lead back', async ({ app }) => {
  await app.getByRole('link', { name: 'Users, rights, audit log' }).click()
  await app.waitForURL(url => url.pathname === '/admin')
  await expect(app.getByRole('heading', { level: 1 })).toBeVisible()
  await app.getByRole('link', { name: 'Xen Orchestra' }).click()
  await app.waitForURL(url => url.pathname === '/vms')
  await alive(app)
  await app.getByRole('button', { name: 'Account' }).click()
  await app.getByRole('link', { name: 'My account' }).click()
  await app.waitForURL(url => url.pathname === '/account')
  await expect(app.getByRole('heading', { level: 1 })).toHaveText('My account')
})
