import { count, expect, filter, open, openVm, rows, test } from '../support/app'

test('the list fills the screen, filters as one types and keeps it in the address', async ({ app }) => {
  await open(app, '/vms')
  expect(await rows(app).count()).toBeGreaterThanOrEqual(Math.min(22, (await count(app)).total))
  const before = await count(app)
  await filter(app).fill('power_state:halted')
  await expect.poll(async () => (await count(app)).shown).toBeLessThan(before.total)
  await expect(app).toHaveURL(/s=power_state/)
  for (const state of await rows(app).locator('.power-state').allInnerTexts()) expect(state).toBe('Halted')
  await app.reload()
  await expect(filter(app)).toHaveValue('power_state:halted')
  await filter(app).fill('a:')
  await expect(app.getByText(/Searched as plain text/)).toBeVisible()
})

test('a click on a header sorts, a second one turns it round', async ({ app }) => {
  await open(app, '/vms')
  const header = app.getByRole('columnheader', { name: 'Name' })
  const first = () => rows(app).first().locator('.table__link').innerText()
  await expect(header).toHaveAttribute('aria-sort', 'ascending')
  const ascending = await first()
  await header.getByRole('button').click()
  await expect(header).toHaveAttribute('aria-sort', 'descending')
  await expect.poll(first).not.toBe(ascending)
  await expect(app).toHaveURL(/desc=1/)
})

test('a halted VM starts and a running one stops, live', async ({ app }) => {
  await openVm(app, 'power_state:halted')
  const state = app.locator('.object-head__meta .power-state')
  await app.getByRole('button', { name: 'Start', exact: true }).click()
  await expect(state).toHaveText('Running')
  await app.getByRole('button', { name: 'More actions' }).click()
  await app.getByRole('button', { name: /Force stop/ }).click()
  await app.getByRole('dialog').getByRole('button', { name: 'Force stop' }).click()
  await expect(state).toHaveText('Halted')
})

test('many VMs are started together, with one result', async ({ app }) => {
  await open(app, '/vms?s=power_state%3Ahalted')
  const boxes = rows(app).getByRole('checkbox')
  await boxes.nth(0).click()
  await boxes.nth(2).click({ modifiers: ['Shift'] })
  await expect(app.getByText('3 VMs selected')).toBeVisible()
  await app.getByRole('toolbar').getByRole('button', { name: /^Start/ }).click()
  await expect(app.locator('.toast')).toContainText('Start')
  await app.getByRole('button', { name: /^Tasks/ }).click()
  await expect(app.locator('.drawer .task__name').filter({ hasText: /^Start / })).toHaveCount(3)
})

test('names with markup are text', async ({ app }) => {
  await openVm(app, 'power_state:halted')
  const hostile = '<img src=x onerror="document.title=1">'
  await app.getByRole('heading', { level: 1 }).getByRole('button').click()
  await app.getByRole('textbox', { name: 'name' }).fill(hostile)
  await app.keyboard.press('Enter')
  await expect(app.getByRole('heading', { level: 1 })).toContainText(hostile)
  await expect(app.locator('img')).toHaveCount(0)
})

test('tags come and go', async ({ app }) => {
  await openVm(app, '')
  await app.getByRole('button', { name: 'Tag', exact: true }).click()
  await app.getByLabel('New tag').fill('from-a-test')
  await app.keyboard.press('Enter')
  await app.getByRole('button', { name: 'Remove the tag from-a-test' }).click()
  await expect(app.getByRole('button', { name: 'Remove the tag from-a-test' })).toHaveCount(0)
})

test('a snapshot is taken and deleted', async ({ app }) => {
  await openVm(app, 'power_state:halted')
  await app.getByRole('link', { name: /^Snapshots/ }).click()
  const lines = app.locator('.card .line')
  const before = await lines.count()
  await app.getByRole('button', { name: 'Take a snapshot' }).click()
  await expect(lines).toHaveCount(before + 1)
  await lines.first().getByRole('button', { name: 'Delete' }).click()
  await app.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await expect(lines).toHaveCount(before)
})
