// The pages that the server renders: with scripts and without, nothing for axe to find, in every size and theme.
import AxeBuilder from '@axe-core/playwright'
import type { Browser, Page } from '@playwright/test'
import { expect, test } from '@playwright/test'
import { createHmac } from 'node:crypto'
import { password, user } from '../support/app'

const sizes = { desktop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } }

async function enter(page: Page, path: string) {
  await page.goto(path)
  await page.getByLabel('User name').fill(user)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL(url => url.pathname === path)
}

async function look(page: Page, name: string) {
  for (const [size, viewport] of Object.entries(sizes)) {
    await page.setViewportSize(viewport)
    const [wide, inner] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
    expect(wide, `${name} ${size} is not wider than the screen`).toBeLessThanOrEqual(inner)
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      await page.screenshot({ path: `screenshots/admin-${name}-${size}-${colorScheme}.png` })
      const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']).analyze()
      const found = violations.map(violation => `${name} ${size} ${colorScheme}: ${violation.id}: ${violation.nodes[0].html}`)
      expect(found).toEqual([])
    }
  }
  await page.setViewportSize(sizes.desktop)
}

const said = (page: Page) => page.locator('.said')
const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true })

/** What an administrator does in a day; the same with and without scripts. */
async function administer(page: Page, tag: string, each: (name: string) => Promise<void>) {
  // A run that failed may have left some behind.
  const run = Date.now().toString(36)
  const [person, group] = [`person ${tag} ${run}`, `group ${tag} ${run}`]
  await enter(page, '/admin')
  await each('overview')
  const menu = page.getByRole('navigation', { name: 'Administration' })

  await menu.getByRole('link', { name: 'Users' }).click()
  const create = page.locator('form', { has: button(page, 'Create') })
  await create.getByLabel('Name').fill(user)
  await create.getByLabel('Password').fill('a long password')
  await create.getByRole('button').click()
  await expect(create.getByLabel('Name')).toHaveAttribute('aria-invalid', 'true')
  await expect(create.getByLabel('Name')).toHaveValue(user)
  await each('user-exists')
  await create.getByLabel('Name').fill(person)
  await create.getByLabel('Password').fill('a long password')
  await create.getByRole('button').click()
  await expect(said(page)).toHaveText('The user was created.')
  await each('users')

  await menu.getByRole('link', { name: 'Groups' }).click()
  await page.getByLabel('Name', { exact: true }).fill(group)
  await button(page, 'Create').click()
  await page.getByRole('link', { name: group }).click()
  await page.getByLabel('User', { exact: true }).fill(person)
  await button(page, 'Add').click()
  await expect(said(page)).toHaveText('The members were changed.')
  await each('group')

  await menu.getByRole('link', { name: 'Rights' }).click()
  await page.getByLabel('User or group').fill(group)
  await button(page, 'Show').click()
  await page.getByLabel('Object').fill('no such pool')
  await button(page, 'Add').click()
  await expect(page.getByText('No object has this name or id.')).toBeVisible()
  await page.goto('/admin/rights?view=object&object=o')
  const pool = page.getByRole('listitem').filter({ hasText: /pool$/ }).getByRole('link').first()
  const poolName = await pool.innerText()
  await pool.click()
  const adding = page.locator('form', { has: button(page, 'Add') })
  await adding.getByLabel('User or group').fill(group)
  await adding.getByLabel('May do').selectOption('operator')
  await button(page, 'Add').click()
  await expect(said(page)).toHaveText('The right was added.')
  await each('rights-object')
  await page.getByRole('link', { name: 'Ask why' }).click()
  await page.getByLabel('May this user').fill(person)
  await page.getByLabel('do this').selectOption('operate')
  await page.getByLabel('with this object?').fill(poolName)
  await button(page, 'Ask').click()
  await expect(said(page)).toContainText(`${person} may operate`)
  await expect(page.getByText(`The group ${group}, which ${person} is in`)).toBeVisible()
  await each('rights-explain')

  await menu.getByRole('link', { name: 'Users' }).click()
  await page.getByRole('link', { name: person }).click()
  await expect(page.getByRole('cell', { name: 'Operator' })).toBeVisible()
  await each('user')
  await page.locator('summary', { hasText: 'Delete this user' }).click()
  await each('user-delete')
  await button(page, 'Delete').click()
  await expect(said(page)).toHaveText('The user was deleted.')

  for (const name of ['Servers', 'Tokens', 'Connections', 'Audit log']) {
    await menu.getByRole('link', { name }).click()
    await expect(page.getByRole('heading', { level: 1, name })).toBeVisible()
    await each(name.toLowerCase().replace(' ', '-'))
  }
  await button(page, 'Verify the log').click()
  await expect(said(page)).toContainText('The log is whole')
  await page.getByLabel('Method').fill('user.delete')
  await button(page, 'Filter').click()
  await expect(page.getByRole('row').filter({ hasText: 'user.delete' })).not.toHaveCount(0)
  await expect(page.getByRole('row').filter({ hasText: 'user.create' })).toHaveCount(0)

  await menu.getByRole('link', { name: 'My account' }).click()
  await page.getByLabel('What it is for').fill(`backup ${tag}`)
  await button(page, 'Create a token').click()
  await expect(page.locator('.secret')).toHaveText(/^[\w-]{43}$/)
  await each('account')
  await button(page, 'Turn on').click()
  await expect(page.getByRole('img', { name: /QR code/ })).toBeVisible()
  await each('one-time-codes')
  await page.getByRole('link', { name: 'Cancel' }).click()
}

test('the administration with scripts', async ({ page }) => {
  const noise: string[] = []
  page.on('console', message => {
    // A form that could not be taken is answered with 4xx, which the browser notes.
    if (['error', 'warning'].includes(message.type()) && !/status of 4(09|22)/.test(message.text())) noise.push(message.text())
  })
  page.on('pageerror', error => noise.push(String(error)))
  await administer(page, 'with', name => look(page, name))
  expect(noise).toEqual([])
})

test('the administration without scripts', async ({ browser }: { browser: Browser }) => {
  const context = await browser.newContext({ javaScriptEnabled: false })
  const page = await context.newPage()
  const scripts: string[] = []
  page.on('request', request => {
    if (request.url().endsWith('.wasm')) scripts.push(request.url())
  })
  await administer(page, 'without', async () => {})
  expect(scripts).toEqual([])
  await context.close()
})

test('lists are filtered as one types', async ({ page }) => {
  await enter(page, '/admin/users')
  await page.getByRole('searchbox').fill('nobody has this name')
  await expect(page.getByText('0 users')).toBeVisible()
  await expect(page).toHaveURL(/q=nobody/)
  await page.getByRole('searchbox').fill(user)
  await expect(page.getByText('1 user', { exact: true })).toBeVisible()
  await page.goto('/admin/tokens')
  await page.locator('summary', { hasText: 'Revoke' }).first().focus()
  await page.keyboard.press('Enter')
  await expect(page.getByRole('button', { name: 'Revoke the token' })).toBeFocused()
  await page.keyboard.press('Escape')
  await expect(page.getByRole('button', { name: 'Revoke the token' }).first()).toBeHidden()
})

/** The code that an authenticator shows, some steps of 30 s later (RFC 6238). */
function code(secret: string, later = 0) {
  const bits = [...secret].map(letter => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')).join('')
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map(byte => parseInt(byte, 2)))
  const step = Buffer.alloc(8)
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + later))
  const hash = createHmac('sha1', key).update(step).digest()
  const number = hash.readUInt32BE(hash[19] & 15) & 0x7fffffff
  return String(number % 1_000_000).padStart(6, '0')
}

test('a one-time code is asked for after the password', async ({ page, browser }) => {
  const name = `codes ${Date.now().toString(36)}`
  await enter(page, '/admin/users')
  const create = page.locator('form', { has: button(page, 'Create') })
  await create.getByLabel('Name').fill(name)
  await create.getByLabel('Password').fill('a long password')
  await create.getByRole('button').click()
  await expect(said(page)).toHaveText('The user was created.')
  const context = await browser.newContext({ javaScriptEnabled: false })
  const own = await context.newPage()
  const password_ = async () => {
    await own.goto('/account')
    await own.getByLabel('User name').fill(name)
    await own.getByLabel('Password').fill('a long password')
    await button(own, 'Sign in').click()
  }
  await password_()
  await button(own, 'Turn on').click()
  const secret = (await own.locator('.secret').innerText()).replaceAll(' ', '')
  await own.getByLabel('Six digits').fill(code(secret))
  await button(own, 'Turn on').click()
  await expect(said(own)).toHaveText('One-time codes are asked for from now on.')
  await button(own, 'Sign out').click()
  await password_()
  await expect(own.getByRole('heading', { name: 'One-time code' })).toBeVisible()
  // axe needs scripts: the same step in the other page.
  await button(page, 'Sign out').click()
  await page.getByLabel('User name').fill(name)
  await page.getByLabel('Password').fill('a long password')
  await button(page, 'Sign in').click()
  await expect(page.getByRole('heading', { name: 'One-time code' })).toBeVisible()
  await look(page, 'one-time-code')
  await own.getByLabel(/six digits/).fill(code(secret, 1))
  await button(own, 'Sign in').click()
  await expect(own).toHaveURL(/\/account$/)
  await context.close()
})
