// What every spec needs: a signed-in page whose console must stay quiet, and waits for real signals.
import { expect, test as base, type Page } from '@playwright/test'

export const user = process.env.XO_USER ?? 'admin@admin.net'
export const password = process.env.XO_PASSWORD ?? 'admin'

/** Console messages and page errors that a test declares as part of what it does. */
type Expected = { expected: RegExp[] }

export const test = base.extend<Expected & { app: Page }>({
  expected: [[], { option: true }],
  app: async ({ page, expected }, use) => {
    const noise: string[] = []
    page.on('console', message => {
      if (['error', 'warning'].includes(message.type())) noise.push(message.text())
    })
    page.on('pageerror', error => noise.push(String(error)))
    await signIn(page)
    await use(page)
    expect(noise.filter(line => !expected.some(pattern => pattern.test(line)))).toEqual([])
  },
})
export { expect }

export async function signIn(page: Page) {
  await page.goto('/signin')
  await page.getByLabel('User name').fill(user)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL(url => url.pathname === '/')
  await alive(page)
}

/** The client runs and the first snapshot of the inventory is on the screen. */
export async function alive(page: Page) {
  await page.waitForSelector('body[data-hydrated]', { state: 'attached' })
  await expect(page.locator('.nav__count').first()).toHaveText(/\d/)
}

export async function open(page: Page, path: string) {
  await page.goto(path)
  await alive(page)
}

/** Rows of the table that are drawn. */
export const rows = (page: Page) => page.locator('.table tbody tr:not(.table__spacer)')

/** How many rows the filter shows, of how many. */
export async function count(page: Page) {
  const text = await page.locator('.list-head__count').innerText()
  const [shown, total] = text.replaceAll(',', '').split(' of ').map(Number)
  return { shown, total: total ?? shown }
}

export const filter = (page: Page) => page.locator('#filter')

/** Opens the first VM that passes the filter; says its name. */
export async function openVm(page: Page, text: string) {
  await open(page, `/vms?s=${encodeURIComponent(text)}`)
  const link = rows(page).first().locator('.table__link')
  const name = await link.innerText()
  await link.click()
  await expect(page.getByRole('heading', { level: 1 })).toContainText(name)
  return name
}
