import { expect, test } from '@playwright/test'
import { password, user } from '../support/app'

test('a wrong password is refused in words, the user name stays', async ({ page }) => {
  await page.goto('/signin')
  await page.getByLabel('User name').fill(user)
  await page.getByLabel('Password').fill('not the password')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await expect(page.getByRole('alert')).toBeVisible()
  await expect(page.getByLabel('User name')).toHaveValue(user)
})

test('the right password leads to the VMs, signing out leads back', async ({ page }) => {
  await expect(async () => {
    // A wrong try just before makes the server wait for two seconds.
    await page.goto('/signin')
    await page.getByLabel('User name').fill(user)
    await page.getByLabel('Password').fill(password)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await expect(page).toHaveURL(/\/$/, { timeout: 1000 })
  }).toPass()
  await page.waitForSelector('body[data-hydrated]', { state: 'attached' })
  await expect(page.getByRole('heading', { name: 'Virtual machines' })).toBeVisible()
  await page.getByRole('button', { name: 'Account' }).click()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await expect(page).toHaveURL(/\/signin$/)
  await page.goto('/vms')
  await expect(page).toHaveURL(/\/signin/)
})

test('the page works without scripts and loads no client', async ({ browser }) => {
  const context = await browser.newContext({ javaScriptEnabled: false })
  const page = await context.newPage()
  const requests: string[] = []
  page.on('request', request => requests.push(request.url()))
  await page.goto('/signin')
  await expect(page.getByLabel('Password')).toBeVisible()
  expect(requests.filter(url => url.endsWith('.wasm'))).toEqual([])
  await context.close()
})
